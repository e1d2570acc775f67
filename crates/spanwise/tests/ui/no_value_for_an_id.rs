#[spanwise::task(user_id)]
fn answer() {}

fn main() {}
