#[spanwise::task(name = 7)]
fn answer() {}

fn main() {}
