//! The program of `cargo xtask peers`.

fn main() {
    std::process::exit(xtask::process::end(peers::run(std::env::args_os().skip(1).collect())));
}
