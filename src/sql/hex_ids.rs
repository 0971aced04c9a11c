//! Ids of traces and spans as people write them: `where trace_id = '4bf92f35…'`. They are kept as bytes, and SQL has no
//! comparison of bytes with text, so text beside an id is read as hexadecimal digits.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Comparisons: `=`, `<>`, `<` and their like.
#[derive(Debug)]
pub(super) struct HexIds;

impl ExprPlanner for HexIds {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        let RawBinaryExpr { op, left, right } = raw;
        if !matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        }
        let (of_left, of_right) = (id_bytes(&left, schema), id_bytes(&right, schema));
        let left = of_right.map_or(Ok(left.clone()), |bytes| as_id(left, bytes))?;
        let right = of_left.map_or(Ok(right.clone()), |bytes| as_id(right, bytes))?;
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

/// `trace_id in ('…', '…')`, which no planner sees.
impl AnalyzerRule for HexIds {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let schema = merge_schema(&plan.inputs());
            plan.map_expressions(|expr| expr.transform_up(|expr| in_list(expr, &schema)))
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "hex_ids"
    }
}

fn in_list(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::InList(InList { expr, list, negated }) = expr else { return Ok(Transformed::no(expr)) };
    let Some(bytes) = id_bytes(&expr, schema) else {
        return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
    };
    let list = list.into_iter().map(|one| as_id(one, bytes)).collect::<Result<_>>()?;
    Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
}

/// How many bytes it has, where it is an id.
fn id_bytes(expr: &Expr, schema: &DFSchema) -> Option<i32> {
    match expr.get_type(schema) {
        Ok(DataType::FixedSizeBinary(bytes)) => Some(bytes),
        _ => None,
    }
}

/// A text as the id that it writes; anything else as it is.
fn as_id(expr: Expr, bytes: i32) -> Result<Expr> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), metadata) = &expr else {
        return Ok(expr);
    };
    let length = usize::try_from(bytes).unwrap_or_default();
    match hex::decode(text) {
        Ok(id) if id.len() == length => {
            Ok(Expr::Literal(ScalarValue::FixedSizeBinary(bytes, Some(id)), metadata.clone()))
        }
        _ => Err(DataFusionError::Plan(format!("'{text}' is no id: write its {} hexadecimal digits", 2 * length))),
    }
}

/// The analyzer's rules, this one before types are made to agree.
pub(super) fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let first: Arc<dyn AnalyzerRule + Send + Sync> = Arc::new(HexIds);
    [first].into_iter().chain(datafusion::optimizer::Analyzer::new().rules).collect()
}
