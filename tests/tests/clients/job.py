"""The official Python client runs a Job: create, watch to Complete, read its log, delete. Arguments: kubeconfig, namespace."""

import sys
import time

from kubernetes import client, config, watch

kubeconfig, namespace = sys.argv[1:]
config.load_kube_config(kubeconfig)
batch, core = client.BatchV1Api(), client.CoreV1Api()

container = client.V1Container(name="hello", image="any", command=["sh", "-c", "sleep 1; echo hello from python"])
template = client.V1PodTemplateSpec(spec=client.V1PodSpec(restart_policy="Never", containers=[container]))
body = client.V1Job(metadata=client.V1ObjectMeta(name="python"), spec=client.V1JobSpec(template=template))
created = batch.create_namespaced_job(namespace, body)
assert created.metadata.uid and created.spec.backoff_limit == 6, created

seen = []
events = watch.Watch().stream(
    batch.list_namespaced_job,
    namespace,
    field_selector="metadata.name=python",
    resource_version=created.metadata.resource_version,
    timeout_seconds=60,
)
for event in events:
    conditions = event["object"].status.conditions or []
    seen += [c.type for c in conditions if c.status == "True" and c.type not in seen]
    if "Complete" in seen:
        break
assert "Complete" in seen, seen

(pod,) = core.list_namespaced_pod(namespace, label_selector="job-name=python").items
assert pod.status.phase == "Succeeded", pod.status
assert pod.metadata.owner_references[0].uid == created.metadata.uid
assert pod.status.container_statuses[0].state.terminated.exit_code == 0
log = core.read_namespaced_pod_log(pod.metadata.name, namespace)
assert log == "hello from python\n", repr(log)

try:
    batch.create_namespaced_job(namespace, body)
    raise AssertionError("the same name again was accepted")
except client.ApiException as refused:
    assert (refused.status, refused.reason) == (409, "Conflict"), refused

batch.delete_namespaced_job("python", namespace, propagation_policy="Foreground")
for _ in range(300):
    if not batch.list_namespaced_job(namespace).items and not core.list_namespaced_pod(namespace).items:
        break
    time.sleep(0.1)
else:
    raise AssertionError("the Job and its Pod are still there")
print("ok", *seen)
