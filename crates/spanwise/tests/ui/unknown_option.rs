#[spanwise::workflow(organisation_id = "acme")]
fn answer() {}

fn main() {}
