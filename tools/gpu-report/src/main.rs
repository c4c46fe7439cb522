//! The program of `cargo xtask gpu-report`, and `bin/report` in the folder that it makes.

fn main() {
    std::process::exit(xtask::process::end(gpu_report::run(std::env::args_os().skip(1).collect())));
}
