#[spanwise::agent(skip(key))]
fn answer(question: &str, secret: &str) {
    println!("{question}{secret}");
}

fn main() {}
