//! Compiles our own .proto files; protox needs no protoc on the machine. The engine alone has none.

#[cfg(feature = "daemon")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Write;

    let file = "proto/externalscaler.proto";
    // Said to cargo, which would otherwise run this again after any change.
    writeln!(std::io::stdout(), "cargo::rerun-if-changed={file}")?;
    tonic_prost_build::configure().compile_fds(protox::compile([file], ["proto"])?)?;
    Ok(())
}

#[cfg(not(feature = "daemon"))]
fn main() {}
