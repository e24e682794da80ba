"""Records what a real kube-apiserver answers to objects drawn at random: the lines of recorded.jsonl.

    record.py HOST:PORT TOKEN [COUNT] > recorded.jsonl

The server is kube-apiserver 1.36.3 (module k8s.io/kubernetes of tests/peers/go.mod, package cmd/kube-apiserver) with an etcd,
--token-auth-file with a system:masters token, and --disable-admission-plugins=ServiceAccount. Everything is a dry run, so
nothing is left there. An object is a valid one of its kind with one to three places changed, each by the server's own
OpenAPI schema: another value, one of another type, or none.

Left out is what we mean to answer otherwise: Jobs with restartPolicy Always, and what admission says of PriorityClasses and
RuntimeClasses, which we don't have (403, and 500 for a name that is none), what a server without --allow-privileged says, and
claims of a Pod as a whole that are an empty list, which protobuf can't tell from none. Taken out by hand: a body with two
faults of which Go tells the one of a time first, wherever it stands.
"""
import copy
import http.client
import json
import random
import ssl
import sys

TEXTS = ['', 'a', 'abc', 'web-1', 'Foo', 'a b', '-x', 'x-', 'a.b', 'A_B', 'a/b', 'example.com/x', 'example.com/', '/x', 'x' * 64,
         'x' * 254, '0', '100m', '1Gi', '1.5', '-1', 'true', 'Never', 'OnFailure', 'TCP', 'tcp', 'default', 'é', '{"a":1}',
         '2024-01-02T03:04:05Z', '2024-01-02T03:04:05.123456Z', 'not-a-time', 'Exists', 'Equal', 'In', 'NotIn', 'NoSchedule',
         'NoExecute', 'kubernetes.io/hostname', 'Allow', 'Forbid', 'Europe/Berlin', '10.0.0.1', '::1', '$(A)', '../x', '/abs',
         'metadata.name', 'spec.nodeName', 'limits.cpu', 'Indexed', 'FailJob', 'Ignore', 'Count', 'Failed', 'True', '0-3', '3,1',
         'cpu', 'memory', 'RuntimeDefault', 'Localhost', 'IfNotPresent', 'orphan', 'kubernetes', 'File', 'Default', 'HTTP',
         'ephemeral-storage', 'hugepages-2Mi', 'nvidia.com/gpu']
NUMBERS = [0, 1, 2, 3, 5, -1, 80, 255, 256, 443, 65535, 65536, 100000, 100001, 2147483647, 2147483648, 9223372036854775807, 1.5]
NAMESPACED = '/namespaces/default/'


class Server:
    def __init__(self, address, token):
        self.address, self.token, self.schemas = address, token, {}
        self.connection = http.client.HTTPSConnection(address, context=ssl._create_unverified_context())
        for group in 'api/v1', 'apis/batch/v1', 'apis/coordination.k8s.io/v1':
            self.schemas.update(self.call('GET', '/openapi/v3/' + group)[1]['components']['schemas'])

    def call(self, method, path, body=None):
        headers = {'Authorization': 'Bearer ' + self.token, 'Content-Type': 'application/json', 'Accept': 'application/json'}
        self.connection.request(method, path, body and json.dumps(body, sort_keys=True), headers)
        answer = self.connection.getresponse()
        warnings = answer.headers.get_all('Warning') or []
        return answer.status, json.loads(answer.read()), warnings

    def schema(self, schema):
        while True:
            if '$ref' in schema:
                schema = self.schemas[schema['$ref'].rsplit('/', 1)[1]]
            elif 'allOf' in schema:
                own = {key: value for key, value in schema.items() if key not in ('allOf', 'default', 'description')}
                schema = {**self.schema(schema['allOf'][0]), **own}
            else:
                return schema


def drawn(server, schema, depth=0):
    """A value of the schema, now and then one of another type."""
    schema = server.schema(schema)
    if random.random() < .05:
        return random.choice([None, 'str', 5, 1.5, True, [], {}, [1], {'a': 'b'}, -3])
    if 'oneOf' in schema or schema.get('format') == 'int-or-string':
        return random.choice([random.choice(NUMBERS), random.choice(TEXTS)])
    if 'enum' in schema and random.random() < .7:
        return random.choice(schema['enum'])
    kind = schema.get('type')
    if kind == 'string' and schema.get('format') == 'byte':
        return random.choice(['aGVsbG8=', '!!', 'YQ', '', 'YQ=='])
    if kind == 'string' and schema.get('format') == 'date-time':
        return random.choice(['2024-01-02T03:04:05Z', '2024-01-02T03:04:05+02:00', 'bad', None, '2024-13-02T03:04:05Z'])
    if kind in ('integer', 'number'):
        return random.choice(NUMBERS)
    if kind == 'boolean':
        return random.choice([True, False])
    if kind == 'array':
        return [drawn(server, schema['items'], depth + 1) for _ in range(random.choice([0, 1, 1, 2]))]
    if 'additionalProperties' in schema:
        count = random.choice([0, 1, 1, 2])
        return {random.choice(TEXTS): drawn(server, schema['additionalProperties'], depth + 1) for _ in range(count)}
    fields = schema.get('properties')
    if not fields:
        return {} if kind == 'object' else random.choice(TEXTS)
    wanted = [name for name in schema.get('required', []) if random.random() < .85]
    count = min(random.choice([0, 1, 1, 2, 3]) if depth < 4 else random.choice([0, 1]), len(fields))
    return {name: drawn(server, fields[name], depth + 1) for name in wanted + random.sample(sorted(fields), count)}


def places(server, value, schema):
    """Where something can be changed: (container, key or None for a new one, schema)."""
    schema, found = server.schema(schema), []
    if isinstance(value, dict):
        fields = schema.get('properties')
        if fields:
            for name, field in fields.items():
                found.append((value, name, field))
                found += places(server, value[name], field) if name in value else []
        elif 'additionalProperties' in schema:
            found.append((value, None, schema['additionalProperties']))
            for name in value:
                found.append((value, name, schema['additionalProperties']))
                found += places(server, value[name], schema['additionalProperties'])
    elif isinstance(value, list) and schema.get('type') == 'array':
        found.append((value, None, schema['items']))
        for index, item in enumerate(value):
            found.append((value, index, schema['items']))
            found += places(server, item, schema['items'])
    return found


def change(server, value, schema):
    unfit = 'managedFields', 'apiVersion', 'kind', 'status', 'scheduling', 'resourceVersion', 'priority', 'priorityClassName', \
        'preemptionPolicy', 'runtimeClassName'
    container, key, field = random.choice([place for place in places(server, value, schema) if place[1] not in unfit])
    if isinstance(container, list):
        if key is None:
            container.append(copy.deepcopy(random.choice(container)) if container and random.random() < .3 else drawn(server, field))
        elif random.random() < .2:
            del container[key]
        else:
            container[key] = drawn(server, field)
    elif key is None:
        container[random.choice(TEXTS)] = drawn(server, field)
    elif key in container and random.random() < .25:
        del container[key]
    else:
        container[key] = drawn(server, field)
    if random.random() < .04 and isinstance(container, dict):
        container[random.choice(['unknownField', 'name ', 'Name'])] = random.choice([1, 'x', {}])


def pod():
    container = {'name': 'c', 'image': 'busybox', 'command': ['sh', '-c', 'true']}
    spec = {'containers': [container], 'restartPolicy': 'Never'}
    if random.random() < .3:
        spec['initContainers'] = [{'name': 'i', 'image': 'busybox'}]
    if random.random() < .3:
        container['resources'] = {'requests': {'cpu': '100m'}, 'limits': {'memory': '1Gi'}}
    if random.random() < .3:
        container['env'] = [{'name': 'A', 'value': 'b'}, {'name': 'B', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}]
    if random.random() < .2:
        spec['volumes'] = [{'name': 'v', 'emptyDir': {}}]
        container['volumeMounts'] = [{'name': 'v', 'mountPath': '/v'}]
    if random.random() < .2:
        spec['tolerations'] = [{'key': 'a', 'operator': 'Exists', 'effect': 'NoExecute', 'tolerationSeconds': 20}]
    if random.random() < .1:
        spec['topologySpreadConstraints'] = [{'maxSkew': 1, 'topologyKey': 'a', 'whenUnsatisfiable': 'DoNotSchedule'}]
    if random.random() < .15:
        spec['containers'].append({'name': 'd', 'image': 'x', 'ports': [{'containerPort': 80}]})
    if random.random() < .1:
        container['livenessProbe'] = {'exec': {'command': ['a']}}
    return spec


def job():
    spec = {'template': {'spec': pod()}}
    if random.random() < .4:
        spec.update(completions=random.choice([1, 5, 10]), parallelism=random.choice([1, 2, 5]))
    if random.random() < .4:
        spec['completionMode'] = 'Indexed'
        spec.setdefault('completions', 3)
        if random.random() < .4:
            spec['successPolicy'] = {'rules': [{'succeededIndexes': '0-1', 'succeededCount': 1}]}
        if random.random() < .4:
            spec['backoffLimitPerIndex'] = 2
    if random.random() < .2:
        codes = {'action': 'FailJob', 'onExitCodes': {'operator': 'In', 'values': [1, 2]}}
        spec['podFailurePolicy'] = {'rules': [codes, {'action': 'Ignore', 'onPodConditions': [{'type': 'DisruptionTarget'}]}]}
    return spec


def kinds():
    """The share of each kind, its path, its schema and a valid object."""
    core, batch = 'io.k8s.api.core.v1.', 'io.k8s.api.batch.v1.'
    cron = {'schedule': '*/5 * * * *', 'jobTemplate': {'spec': job()}}
    lease = {'holderIdentity': 'a', 'leaseDurationSeconds': 5}
    return [
        (9, '/apis/batch/v1' + NAMESPACED + 'jobs', batch + 'Job', 'batch/v1', {'spec': job()}),
        (5, '/apis/batch/v1' + NAMESPACED + 'cronjobs', batch + 'CronJob', 'batch/v1', {'spec': cron}),
        (8, '/api/v1' + NAMESPACED + 'pods', core + 'Pod', 'v1', {'spec': pod()}),
        (2, '/api/v1' + NAMESPACED + 'configmaps', core + 'ConfigMap', 'v1', {'data': {'a': 'b'}}),
        (2, '/api/v1' + NAMESPACED + 'secrets', core + 'Secret', 'v1', {'data': {'a': 'YQ=='}}),
        (1, '/api/v1' + NAMESPACED + 'serviceaccounts', core + 'ServiceAccount', 'v1', {}),
        (1, '/api/v1/namespaces', core + 'Namespace', 'v1', {}),
        (1, '/apis/coordination.k8s.io/v1' + NAMESPACED + 'leases', 'io.k8s.api.coordination.v1.Lease', 'coordination.k8s.io/v1',
         {'spec': lease}),
    ]


def main(address, token, count=300):
    server = Server(address, token)
    random.seed(1)
    left = int(count)
    while left:
        choices = kinds()
        _, path, schema, version, rest = random.choices(choices, [choice[0] for choice in choices])[0]
        body = {'apiVersion': version, 'kind': schema.rsplit('.', 1)[1], 'metadata': {'name': 'x'}, **rest}
        for _ in range(random.randint(1, 3)):
            change(server, body, server.schemas[schema])
        path += '?dryRun=All&fieldValidation=' + random.choice(['Strict', 'Strict', 'Warn', 'Ignore'])
        code, answer, warnings = server.call('POST', path, body)
        always = 'batch' in path and '"restartPolicy": "Always"' in json.dumps(body)
        empty = '"claims": []' in json.dumps(body)
        if code in (403, 500) or always or empty or 'disallowed by cluster policy' in json.dumps(answer):
            continue
        line = {'path': path, 'body': body, 'code': code, 'answer': trimmed(answer), 'warnings': warnings}
        print(json.dumps(line, sort_keys=True, separators=(',', ':')))
        left -= 1


def trimmed(answer):
    """Without who wrote what, which is long and which we don't track."""
    answer.get('metadata', {}).pop('managedFields', None)
    return answer


main(*sys.argv[1:])
