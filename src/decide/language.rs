//! The language that rules are written in: what of rhai they have, what is added, and what they may not call.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{AST, ASTNode, Dynamic, Engine, Expr};

use super::limits::Limits;
use super::memory::{self, Open};
use super::stage::Progress;
use super::{draft, view};

/// The engine of every rule: rhai's language and collections, our view and proposals, and nothing that reaches
/// outside. It starts raw and takes only the packages below, because the standard set can sleep and read the
/// clock, which would make a rule's answer depend on more than its argument.
pub(super) fn engine(
    limits: &Limits,
    printed: Arc<Mutex<Vec<String>>>,
    memory: &Arc<Mutex<Open>>,
    progress: Arc<Progress>,
) -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    limits.apply(&mut engine);
    engine.disable_symbol("eval").disable_symbol("import").disable_symbol("export");
    engine.set_strict_variables(true).set_fail_on_invalid_map_property(true);
    view::register(&mut engine);
    draft::register(&mut engine);
    memory::register(&mut engine, memory);
    engine.on_progress(move |operations| {
        progress.operations.store(operations, Ordering::Relaxed);
        let is_over = operations > progress.operations_max.load(Ordering::Relaxed);
        (is_over || progress.is_stopped()).then_some(Dynamic::UNIT)
    });
    let lines_max = limits.printed_lines;
    let keep = move |printed: &Mutex<Vec<String>>, text: String| {
        let mut lines = printed.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < lines_max {
            lines.push(text);
        }
    };
    let for_debug = printed.clone();
    engine.on_print(move |text| keep(&printed, text.to_string()));
    engine.on_debug(move |text, _, position| keep(&for_debug, format!("{position}: {text}")));
    engine
}

/// Whether a text calls `curry` itself; closures that capture variables do so behind the scenes, on themselves alone.
pub(super) fn curries(ast: &AST) -> bool {
    let mut found = false;
    ast.walk(&mut |path| {
        let call = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _))) => Some((call, call.args.first())),
            Some(ASTNode::Expr(Expr::MethodCall(call, _))) => Some((call, None)),
            _ => None,
        };
        if let Some((call, first)) = call
            && call.name == "curry"
        {
            found |= !matches!(first, Some(Expr::DynamicConstant(value, _)) if value.is_fnptr());
        }
        !found
    });
    found
}
