//! Rebuilds the binary when a template is added: `include_dir!` alone notices only changes to files it knew already.

fn main() {
    println!("cargo::rerun-if-changed=templates");
}
