//! Tells cargo that a new migration is a change of the program: `sqlx::migrate!` reads the folder
//! while compiling, and cargo would otherwise only notice edits of files it has seen before.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
