//! The attribute macros of `spanwise`, which re-exports and documents them.
//!
//! Read in this order: `options` (what may stand in the parentheses), `function` (what of a
//! function's shape matters), `expand` (what becomes of it).

mod expand;
mod function;
mod options;

use proc_macro::TokenStream;

/// Records every call of a function as a span `workflow.<name>`: something that people ask for.
///
/// See the crate's documentation of [`function`](../spanwise/function/index.html) for the options.
#[proc_macro_attribute]
pub fn workflow(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand("workflow", options.into(), &item.into()).into()
}

/// Records every call of a function as a span `task.<name>`: a step of a workflow.
///
/// See the crate's documentation of [`function`](../spanwise/function/index.html) for the options.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand("task", options.into(), &item.into()).into()
}

/// Records every call of a function as a span `agent.<name>`: a part that decides what to do.
///
/// See the crate's documentation of [`function`](../spanwise/function/index.html) for the options.
#[proc_macro_attribute]
pub fn agent(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand("agent", options.into(), &item.into()).into()
}

/// Records every call of a function as a span `tool.<name>`: something that a model may use.
///
/// See the crate's documentation of [`function`](../spanwise/function/index.html) for the options.
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand("tool", options.into(), &item.into()).into()
}
