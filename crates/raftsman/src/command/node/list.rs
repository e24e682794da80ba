//! `raftsman node list`

use api::duration;
use api::time;
use chrono::Utc;
use clap::Args;
use client::ListOptions;
use proto::core_v1::Node;

use crate::command::connection::Connection;
use crate::command::print::{self, Format, Output, Table};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub async fn run(args: ListArgs) -> Result<(), Failure> {
    let session = args.connection.open()?;
    let nodes = session.client.list::<Node>(ListOptions::default()).await?.items;
    match args.output.output {
        Format::Json | Format::Yaml => print::list(&nodes, args.output.output)?,
        Format::Name => nodes.iter().for_each(|node| println!("node/{}", name(node))),
        format => print!("{}", table(&nodes, format == Format::Wide)),
    }
    Ok(())
}

fn name(node: &Node) -> &str {
    node.metadata.as_ref().map_or("", |meta| meta.name.as_str())
}

fn table(nodes: &[Node], wide: bool) -> String {
    let now = Utc::now();
    let mut header = vec!["NAME", "STATUS", "AGE", "CPU", "MEMORY", "PODS"];
    if wide {
        header.extend(["VERSION", "OS-IMAGE", "RUNTIME"]);
    }
    let mut table = Table::new(&header);
    for node in nodes {
        let status = node.status.clone().unwrap_or_default();
        let created = node.metadata.as_ref().and_then(|meta| time::opt(&meta.creation_timestamp));
        let amount = |resource: &str| {
            let quantity = status.allocatable.get(resource);
            quantity.map_or_else(String::new, |quantity| quantity.string.clone())
        };
        let mut row = vec![
            name(node).to_owned(),
            state(node),
            created.map_or_else(|| "<unknown>".to_owned(), |at| duration::human(now - at)),
            amount("cpu"),
            amount("memory"),
            amount("pods"),
        ];
        if wide {
            let info = status.node_info.unwrap_or_default();
            row.extend([info.kubelet_version, info.os_image, info.container_runtime_version]);
        }
        table.row(row);
    }
    table.render()
}

/// Ready, NotReady or Unknown, and whether it takes new Pods: as kubectl words it.
fn state(node: &Node) -> String {
    let conditions = node.status.as_ref().map(|status| status.conditions.as_slice());
    let ready = conditions.unwrap_or_default().iter().find(|condition| condition.r#type == "Ready");
    let word = match ready.map(|condition| condition.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    match node.spec.as_ref().is_some_and(|spec| spec.unschedulable) {
        true => format!("{word},SchedulingDisabled"),
        false => word.to_owned(),
    }
}
