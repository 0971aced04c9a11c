//! How large a statement may be before it is planned. Planning recurses over what was written, and common table
//! expressions multiply it; each bound here is far above what a person or a dashboard writes.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Expr, Query, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::QueryError;

/// Bytes of the text: a list of some hundred trace ids fits.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// Words, numbers and signs: before they are parsed, as the tree of some of them is as deep as they are many.
const TOKENS_MAX: usize = 8_000;
/// Expressions within expressions. `a or b or c …` is as deep as it is long.
const DEPTH_MAX: usize = 256;
/// Tables read, and SELECTs, each counted as often as the statement reaches it through its common table expressions.
const READ_MAX: usize = 64;
/// Names of a path such as `a.b.c`: catalog, schema, table, column, and some fields.
const PATH_MAX: usize = 16;

fn too_large(what: String, limit: usize, remedy: &str) -> QueryError {
    QueryError::TooLarge { what, limit, remedy: remedy.into() }
}

/// Before the text is parsed.
pub(super) fn check_text(sql: &str) -> Result<(), QueryError> {
    if sql.len() > TEXT_BYTES_MAX {
        return Err(too_large(format!("has {} bytes", sql.len()), TEXT_BYTES_MAX, "ask for less at once"));
    }
    // What cannot be split into tokens is the parser's to name.
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    if words > TOKENS_MAX {
        return Err(too_large(format!("has {words} words and signs"), TOKENS_MAX, "ask for less at once"));
    }
    Ok(())
}

/// After it is parsed, before it is planned.
pub(super) fn check_statement(statement: &Statement) -> Result<(), QueryError> {
    match statement {
        Statement::Statement(statement) => check_ast(statement),
        Statement::Explain(explained) => check_statement(&explained.statement),
        // Refused later: they do not read.
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => Ok(()),
    }
}

fn check_ast(statement: &ast::Statement) -> Result<(), QueryError> {
    let mut measure = Measure { levels: vec![Reads::default()], ..Measure::default() };
    match statement.visit(&mut measure) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => measure.levels.pop().map_or(Ok(()), Reads::check),
    }
}

#[derive(Clone, Copy, Default)]
struct Reads {
    tables: usize,
    selects: usize,
}

impl Reads {
    fn add(&mut self, other: Reads) {
        self.tables = self.tables.saturating_add(other.tables);
        self.selects = self.selects.saturating_add(other.selects);
    }

    fn check(self) -> Result<(), QueryError> {
        let expanded = "join fewer, and refer less often to common table expressions";
        if self.tables > READ_MAX {
            return Err(too_large(format!("reads {} tables once expanded", self.tables), READ_MAX, expanded));
        }
        if self.selects > READ_MAX {
            return Err(too_large(format!("has {} SELECTs once expanded", self.selects), READ_MAX, expanded));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Measure {
    depth: usize,
    /// What each open query reads; the outermost first.
    levels: Vec<Reads>,
    /// Common table expressions whose query is yet to be visited, by its place in memory.
    named: HashMap<usize, String>,
    /// What a reference to each that is known reads; of one name the last holds.
    expressions: Vec<(String, Reads)>,
}

impl Measure {
    fn enter(&mut self, levels: usize) -> ControlFlow<QueryError> {
        self.depth += levels;
        if self.depth > DEPTH_MAX {
            let remedy = "write `x in (…)` for many alternatives, or name steps with WITH";
            return ControlFlow::Break(too_large("nests its expressions too deeply".into(), DEPTH_MAX, remedy));
        }
        ControlFlow::Continue(())
    }

    fn reads(&mut self, reads: Reads) -> ControlFlow<QueryError> {
        let Some(level) = self.levels.last_mut() else { return ControlFlow::Continue(()) };
        level.add(reads);
        match level.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Levels that one node stands for: `a[1][2]` is one node in the tree, and nested when it is planned.
fn levels_of(expr: &Expr) -> usize {
    match expr {
        Expr::CompoundFieldAccess { access_chain, .. } => 1 + access_chain.len(),
        _ => 1,
    }
}

fn place(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Visitor for Measure {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        for expression in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.named.insert(place(&expression.query), expression.alias.name.value.to_lowercase());
        }
        self.levels.push(Reads::default());
        self.enter(1)
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        self.depth -= 1;
        let read = self.levels.pop().unwrap_or_default();
        match self.named.remove(&place(query)) {
            // Read where it is referred to.
            Some(name) => {
                self.expressions.push((name, read));
                ControlFlow::Continue(())
            }
            None => self.reads(read),
        }
    }

    fn pre_visit_select(&mut self, _: &ast::Select) -> ControlFlow<QueryError> {
        self.reads(Reads { tables: 0, selects: 1 })
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<QueryError> {
        let expression = match table {
            TableFactor::Table { name, .. } => match name.0.as_slice() {
                [only] => {
                    let name = only.as_ident().map(|ident| ident.value.to_lowercase()).unwrap_or_default();
                    self.expressions.iter().rev().find(|(known, _)| *known == name).map(|(_, reads)| *reads)
                }
                _ => None,
            },
            // Counts by what is in it.
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => Some(Reads::default()),
            _ => None,
        };
        self.reads(expression.unwrap_or(Reads { tables: 1, selects: 0 }))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        if let Expr::CompoundIdentifier(names) = expr
            && names.len() > PATH_MAX
        {
            let what = format!("has a name of {} parts", names.len());
            return ControlFlow::Break(too_large(what, PATH_MAX, "name a column of a table"));
        }
        self.enter(levels_of(expr))
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        self.depth -= levels_of(expr);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::error::DataFusionError;
    use datafusion::sql::parser::DFParserBuilder;

    use super::*;

    fn check(sql: &str) -> Result<(), QueryError> {
        check_text(sql)?;
        // Of what is nested in another way the parser has a bound of its own.
        let refused = |error: DataFusionError| QueryError::Invalid { cause: error.to_string(), tables: String::new() };
        let statements = DFParserBuilder::new(sql).build().and_then(|mut parser| parser.parse_statements());
        statements.map_err(refused)?.iter().try_for_each(check_statement)
    }

    fn doubling(levels: usize) -> String {
        let next = |n: usize| format!(", c{n} as (select x.a from c{m} x join c{m} y on x.a = y.a)", m = n - 1);
        let levels_text: String = (1..=levels).map(next).collect();
        format!("with c0 as (select 1 a){levels_text} select * from c{levels}")
    }

    #[test]
    fn what_people_write_passes() {
        let services: Vec<String> = (0..500).map(|n| format!("'{n:032x}'")).collect();
        for sql in [
            "select service, count(*) from spans group by 1".to_owned(),
            format!("select * from spans where trace_id in ({})", services.join(",")),
            doubling(3),
            format!("select 1{}", " union all select 1".repeat(40)),
            format!("select {}", ["1"; 100].join(" + ")),
            "explain analyze select * from spans".to_owned(),
            "with a as (select 1 x), a2 as (select * from a) select * from a, a2, (select * from a) t".to_owned(),
        ] {
            assert_eq!(check(&sql), Ok(()), "{sql:.60}");
        }
    }

    #[test]
    fn depth_length_and_expansion_are_bounded_before_planning() {
        for sql in [
            format!("select {}", ["1"; 900].join("+")),
            format!("select 1 from spans where {}", ["service = 'a'"; 600].join(" or ")),
            format!("select 1{}", " union all select 1".repeat(400)),
            format!("select 1{}", " is null".repeat(3_000)),
            format!("select 1{}", "::int".repeat(1_000)),
            format!("select 1{}", " between 0 and 1".repeat(1_000)),
            format!("select a{}", "[1]".repeat(1_000)),
            format!("select a{}", ".a".repeat(1_000)),
            format!("select {}", ["'a'"; 4_500].join(" || ")),
            format!("select * from spans t0{}", " join spans using (trace_id)".repeat(600)),
            doubling(30),
            doubling(8),
            format!("explain {}", doubling(8)),
            format!("select {}", "1, ".repeat(20_000)),
        ] {
            let checked = check(&sql);
            let is_bounded = match &checked {
                Err(QueryError::TooLarge { .. }) => true,
                Err(QueryError::Invalid { cause, .. }) => cause.to_lowercase().contains("recursion"),
                _ => false,
            };
            assert!(is_bounded, "{sql:.60}: {checked:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_too_large_and_what_to_do() {
        let error = check(&format!("select {}", ["1"; 900].join("+"))).unwrap_err().to_string();
        assert!(error.contains("256 at most is planned; write `x in (…)`"), "{error}");
    }
}
