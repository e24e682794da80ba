//! Compiles everything under `proto/`: Rust types and gRPC services by prost and tonic, the descriptor set for
//! reflection, and (build/json.rs) the JSON code and the schema table of the kinds. No system protoc is needed.

#[path = "build/descriptor.rs"]
mod descriptor;
#[path = "build/json.rs"]
mod json;
#[path = "build/schema.rs"]
mod schema;

use prost::Message;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked at run time: checkouts that share a target folder may share this compiled script, too.
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-changed=build");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let mut files = Vec::new();
    find_protos(&root, &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(&files)?;
    let pool = compiler.descriptor_pool();
    let encoded = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("descriptors.bin"), &encoded)?;

    // Rust names differ from JSON names in a few fields (`podIPs`), so the types come from a renamed copy.
    let mut set = prost_types::FileDescriptorSet::decode(encoded.as_slice())?;
    descriptor::rename(&mut set);
    let mut config = prost_build_config();
    config.out_dir(&out);
    tonic_prost_build::configure()
        // Clients are made from a Channel; a generated `connect` would clash with AgentService/Connect.
        .build_transport(false)
        .include_file("modules.rs")
        .compile_fds_with_config(set, config)?;

    std::fs::write(out.join("json.rs"), json::generate(&pool))?;
    std::fs::write(out.join("schema.rs"), schema::generate(&pool))?;
    Ok(())
}

fn prost_build_config() -> tonic_prost_build::Config {
    let mut config = tonic_prost_build::Config::new();
    config.btree_map(["."]);
    // Store traffic is handed on, not copied.
    config.bytes([".mvccpb", ".etcdserverpb", ".v3lockpb", ".v3electionpb", ".raftsman.store.v1"]);
    config
}

fn find_protos(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find_protos(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
