#[spanwise::task(err)]
async fn answer() {}

fn main() {}
