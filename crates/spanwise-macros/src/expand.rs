//! What becomes of a function.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::{Block, Error, Ident, ItemFn, Type, parse_quote};

use crate::function::{self, Shape};
use crate::options::Options;

/// The function in a span, or an error in its place.
pub fn expand(role: &str, options: TokenStream, item: &TokenStream) -> TokenStream {
    let expanded = syn::parse2(options)
        .and_then(|options| Ok((options, function::parse(role, item)?)))
        .and_then(|(options, function)| Call::new(role, options, function))
        .map(Call::expand);
    expanded.unwrap_or_else(|error| {
        // The function stands as it was, so that there is one error and not one for each use.
        let error = error.to_compile_error();
        quote!(#item #error)
    })
}

/// A function whose calls are recorded.
struct Call {
    role: Ident,
    name: String,
    options: Options,
    function: ItemFn,
    shape: Shape,
    /// The type of the result, as far as it can be named.
    result: Option<Type>,
}

impl Call {
    fn new(role: &str, options: Options, mut function: ItemFn) -> syn::Result<Self> {
        let arguments = function::arguments(&function.sig);
        for skipped in &options.skip {
            if skipped != "self" && !has_argument(&function, skipped) {
                let known: Vec<_> = arguments.iter().map(|name| format!("`{name}`")).collect();
                let message = format!(
                    "`skip` names no argument of this function, which has {}",
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") },
                );
                return Err(Error::new(skipped.span(), message));
            }
        }
        let shape = Shape::of(&mut function);
        let result = function::result(&function.sig, &shape);
        if let (Some(err), syn::ReturnType::Default) = (&options.err, &function.sig.output) {
            let message = "`err` needs a function that returns a `Result`";
            return Err(Error::new(err.span(), message));
        }
        let own = function.sig.ident.unraw().to_string();
        let name = options.name.as_ref().map_or(own, syn::LitStr::value);
        let role = format_ident!("{}", capitalized(role));
        Ok(Call { role, name, options, function, shape, result })
    }

    fn expand(mut self) -> TokenStream {
        let body = match self.shape {
            Shape::Sync | Shape::Never => self.sync(&self.function.block),
            Shape::Async => {
                let body = self.asynchronous(&self.function.block);
                quote!(#body.await)
            }
            Shape::ReturnsFuture => return self.future(),
        };
        self.function.block = parse_quote!({ #body });
        let function = &self.function;
        quote!(#function)
    }

    /// Puts the span into the future that the function returns.
    fn future(mut self) -> TokenStream {
        let original =
            function::future(&mut self.function.block).map(|future| future.block.clone());
        let body = original.map(|block| self.asynchronous(&block));
        if let Some(future) = function::future(&mut self.function.block) {
            future.block = parse_quote!({ #body.await });
        }
        let function = &self.function;
        quote!(#function)
    }

    /// The work, done at once.
    fn sync(&self, block: &Block) -> TokenStream {
        let (span, result) = (mixed("span"), mixed("result"));
        let start = self.start();
        if let Shape::Never = self.shape {
            return quote! {
                #start
                let _entered = #span.enter();
                #block
            };
        }
        let to = self.result.as_ref().map(|to| quote!(-> #to));
        let finish = self.finish();
        quote! {
            #start
            let _entered = #span.enter();
            let #result = ::spanwise::function::call(move || #to #block);
            #finish
            #result
        }
    }

    /// A future that does the work.
    fn asynchronous(&self, block: &Block) -> TokenStream {
        let (span, result) = (mixed("span"), mixed("result"));
        let start = self.start();
        let finish = self.finish();
        let statements = &block.stmts;
        // Tells the compiler what the block gives, which cannot be written beside it.
        let told = self.result.as_ref().map(|to| {
            quote! {
                #[allow(unreachable_code, clippy::diverging_sub_expression, clippy::empty_loop)]
                #[allow(clippy::let_unit_value, clippy::let_with_type_underscore)]
                if false {
                    let told: #to = loop {};
                    return told;
                }
            }
        });
        quote! {{
            #start
            ::spanwise::InSpan::in_span(
                async move {
                    let #result = async move { #told #(#statements)* }.await;
                    #finish
                    #result
                },
                #span,
            )
        }}
    }

    /// Starts the span and records the arguments.
    fn start(&self) -> TokenStream {
        let span = mixed("span");
        let (role, name) = (&self.role, &self.name);
        let full = format!("{}.{name}", role.to_string().to_lowercase());
        let inherited = self.options.inherited.iter().map(|(key, value)| {
            let key = key.to_string();
            quote!(#span.inherit(::spanwise::context_key(#key), #value);)
        });
        let inherited = quote!(#(#inherited)*);
        let inherited = if self.options.inherited.is_empty() {
            inherited
        } else {
            quote!(if #span.is_recording() { #inherited })
        };
        let input = self.input();
        quote! {
            let mut #span = ::spanwise::function::start(
                ::spanwise::function::Role::#role, #full, #name,
            );
            #inherited
            #input
        }
    }

    fn input(&self) -> TokenStream {
        let (span, arguments) = (mixed("span"), mixed("arguments"));
        let is_shown = |name: &Ident| !self.options.skip_all && !self.options.skip.contains(name);
        let mut names = function::arguments(&self.function.sig);
        names.retain(is_shown);
        if names.is_empty() {
            return TokenStream::new();
        }
        let role = &self.role;
        let shown = names.iter().map(|name| {
            let text = name.unraw().to_string();
            quote!(#arguments.add(#text, |out| (&&&Shown(&#name)).show(out));)
        });
        quote! {
            if ::spanwise::function::Role::#role.records_input(&#span) {
                #[allow(unused_imports)]
                use ::spanwise::function::{Shown, ViaDebug as _, ViaNothing as _, ViaSerialize as _};
                let mut #arguments = ::spanwise::function::Arguments::new();
                #(#shown)*
                #arguments.record(&mut #span);
            }
        }
    }

    /// Records the result.
    fn finish(&self) -> TokenStream {
        let (role, result) = (&self.role, mixed("result"));
        let err = self.options.err.as_ref().map(|err| {
            quote_spanned!(err.span()=> {
                #[allow(unused_imports)]
                use ::spanwise::function::{AsDebug as _, AsDisplay as _, AsError as _, Failure};
                if let ::core::option::Option::Some(error) = ::spanwise::function::error_of(&#result) {
                    (&&&Failure(error)).record();
                }
            })
        });
        if self.options.skip_output || !function::is_shown(self.result.as_ref()) {
            return quote!(#err);
        }
        quote! {
            if ::spanwise::function::Role::#role.records_output() {
                #[allow(unused_imports)]
                use ::spanwise::function::{
                    Returned, Shown, ViaDebug as _, ViaNothing as _, ViaSerialize as _, Whole as _,
                };
                if let ::core::option::Option::Some(value) = Returned(&#result).value() {
                    ::spanwise::function::record_output(|out| (&&&Shown(value)).show(out));
                }
            }
            #err
        }
    }
}

/// A name that no name of the function's own can be taken for.
fn mixed(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn has_argument(function: &ItemFn, name: &Ident) -> bool {
    // What begins with an underscore may be named too.
    let inputs = &function.sig.inputs;
    function::arguments(&function.sig).contains(name)
        || inputs.iter().any(|input| {
            matches!(input, syn::FnArg::Typed(argument)
                if matches!(&*argument.pat, syn::Pat::Ident(ident) if ident.ident == *name))
        })
}

fn capitalized(role: &str) -> String {
    let mut letters = role.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}
