trait Tool {
    #[spanwise::tool]
    fn call(&self) -> i32;
}

fn main() {}
