#[spanwise::task(err)]
fn answer() -> i32 {
    42
}

fn main() {}
