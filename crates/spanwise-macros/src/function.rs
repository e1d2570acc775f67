//! What of a function's shape matters.

use syn::visit::Visit;
use syn::visit_mut::VisitMut;
use syn::{
    AssocType, Block, Error, Expr, ExprAsync, FnArg, Ident, ItemFn, Pat, PatIdent, Result,
    ReturnType, Signature, Stmt, Type,
};

/// How a function does its work.
pub enum Shape {
    /// While it is called.
    Sync,
    /// It is an `async fn`.
    Async,
    /// It returns a future at once, which does the work: `Box::pin(async move { … })` or
    /// `async move { … }` is the last that stands in it. So looks what `#[async_trait]` makes.
    ReturnsFuture,
    /// It never returns.
    Never,
}

impl Shape {
    pub fn of(function: &mut ItemFn) -> Self {
        if function.sig.asyncness.is_some() {
            Shape::Async
        } else if matches!(&function.sig.output, ReturnType::Type(_, to) if is_never(to)) {
            Shape::Never
        } else if future(&mut function.block).is_some() {
            Shape::ReturnsFuture
        } else {
            Shape::Sync
        }
    }
}

fn is_never(to: &Type) -> bool {
    matches!(to, Type::Never(_))
}

/// Reads the function; says clearly what cannot be recorded.
pub fn parse(role: &str, item: &proc_macro2::TokenStream) -> Result<ItemFn> {
    let function: ItemFn = syn::parse2(item.clone()).map_err(|_| {
        Error::new_spanned(item, format!("`#[{role}]` goes on a function or method with a body"))
    })?;
    if let Some(constness) = &function.sig.constness {
        let message = format!("`#[{role}]` cannot record what runs at compile time");
        return Err(Error::new_spanned(constness, message));
    }
    Ok(function)
}

/// The block of the future that the function ends with.
pub fn future(block: &mut Block) -> Option<&mut ExprAsync> {
    let Some(Stmt::Expr(last, None)) = block.stmts.last_mut() else { return None };
    match last {
        Expr::Async(future) => Some(future),
        Expr::Call(call) => {
            let Expr::Path(function) = &*call.func else { return None };
            let names: Vec<_> =
                function.path.segments.iter().rev().take(2).map(|s| s.ident.to_string()).collect();
            match (
                names.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
                call.args.first_mut(),
            ) {
                (["pin", "Box"], Some(Expr::Async(future))) => Some(future),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The names that the function's arguments have inside it, without `self`.
pub fn arguments(signature: &Signature) -> Vec<Ident> {
    let mut bindings = Bindings::default();
    for argument in &signature.inputs {
        if let FnArg::Typed(argument) = argument {
            bindings.visit_pat(&argument.pat);
        }
    }
    bindings.0
}

#[derive(Default)]
struct Bindings(Vec<Ident>);

impl<'a> Visit<'a> for Bindings {
    fn visit_pat_ident(&mut self, pattern: &'a PatIdent) {
        // What begins with an underscore is not used, says its author.
        if !pattern.ident.to_string().starts_with('_') {
            self.0.push(pattern.ident.clone());
        }
        if let Some((_, inner)) = &pattern.subpat {
            self.visit_pat(inner);
        }
    }

    fn visit_pat(&mut self, pattern: &'a Pat) {
        syn::visit::visit_pat(self, pattern);
    }
}

/// The type that the work gives, with `_` in place of `impl …`; `None` if it gives nothing or
/// the function's signature does not tell.
pub fn result(signature: &Signature, shape: &Shape) -> Option<Type> {
    let ReturnType::Type(_, to) = &signature.output else { return None };
    let mut to = match shape {
        Shape::ReturnsFuture => {
            let mut output = Output(None);
            output.visit_type(to);
            output.0?
        }
        _ => (**to).clone(),
    };
    Erase.visit_type_mut(&mut to);
    Some(to)
}

/// Whether the type says that there is nothing to see, or that it is not known.
pub fn is_shown(result: Option<&Type>) -> bool {
    match result {
        None | Some(Type::Infer(_)) => false,
        Some(Type::Tuple(tuple)) => !tuple.elems.is_empty(),
        Some(_) => true,
    }
}

/// Finds `Output = …`.
struct Output(Option<Type>);

impl<'a> Visit<'a> for Output {
    fn visit_assoc_type(&mut self, assoc: &'a AssocType) {
        if assoc.ident == "Output" && self.0.is_none() {
            self.0 = Some(assoc.ty.clone());
        }
    }
}

/// Types that can only be named in signatures become inferred ones.
struct Erase;

impl VisitMut for Erase {
    fn visit_type_mut(&mut self, to: &mut Type) {
        if let Type::ImplTrait(_) = to {
            *to = syn::parse_quote!(_);
        } else {
            syn::visit_mut::visit_type_mut(self, to);
        }
    }
}
