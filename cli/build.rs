//! The playground's files are compiled in; a change to one of them is a reason to compile again.

fn main() {
    println!("cargo:rerun-if-changed=playground");
    println!("cargo:rerun-if-changed=../clients/javascript/src");
}
