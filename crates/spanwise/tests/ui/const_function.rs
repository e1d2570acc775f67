#[spanwise::tool]
const fn answer() -> i32 {
    42
}

fn main() {}
