#[spanwise::task(err, name = "a", err)]
fn answer() -> Result<(), String> {
    Ok(())
}

fn main() {}
