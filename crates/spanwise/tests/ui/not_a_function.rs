#[spanwise::tool]
struct Answer;

fn main() {}
