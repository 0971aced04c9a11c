//! Whether an operator's text can stand in for a shipped query: one SELECT over known tables, the same answer whenever it
//! is asked of the same rows, rows in a known order, and the columns that the analysis reads.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Sort, Volatility, WindowFunctionDefinition};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::executor::block_on;

use super::error::{Place, QueryError};
use super::queries::{Order, Query};
use super::tables::{INPUTS, sql_type};

/// Aggregates whose answer depends on the order of rows.
const ORDERED_AGGREGATES: [&str; 5] = ["array_agg", "first_value", "last_value", "nth_value", "string_agg"];

/// Checks a text against the query that it stands in for. `context` knows the tables; its functions may be all there are.
pub fn check(context: &SessionContext, query: &Query, shipped: &Schema, text: &str) -> Result<(), QueryError> {
    let checked = Checked { query, text };
    let statement = checked.statement()?;
    let plan = block_on(context.state().statement_to_plan(statement)).map_err(|error| checked.unplanned(&error))?;
    checked.deterministic(&plan)?;
    checked.columns(&plan, shipped)?;
    checked.ordered(&plan)
}

/// A text that is being checked.
pub(super) struct Checked<'a> {
    pub query: &'a Query,
    pub text: &'a str,
}

impl Checked<'_> {
    fn error(&self, place: Option<Place>, cause: impl Into<String>, remedy: impl Into<String>) -> QueryError {
        QueryError { file: format!("{}.sql", self.query.name), place, cause: cause.into(), remedy: remedy.into() }
    }

    /// Where a word first stands in the text, comments aside.
    fn place_of(&self, word: &str) -> Option<Place> {
        let tokens = Tokenizer::new(&GenericDialect {}, self.text).tokenize_with_location().ok()?;
        let is_it = |token: &Token| matches!(token, Token::Word(found) if found.value.eq_ignore_ascii_case(word));
        let start = tokens.iter().find(|token| is_it(&token.token))?.span.start;
        Place::of(self.text, start.line, start.column)
    }

    /// Where a column of the answer gets its name: behind the last AS, else where the name first stands.
    fn place_of_column(&self, name: &str) -> Option<Place> {
        let tokens = Tokenizer::new(&GenericDialect {}, self.text).tokenize_with_location().ok()?;
        let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.value.eq_ignore_ascii_case(word));
        let words: Vec<_> = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
        let named = words.windows(2).rfind(|pair| is(&pair[0].token, "as") && is(&pair[1].token, name));
        match named {
            Some(pair) => Place::of(self.text, pair[1].span.start.line, pair[1].span.start.column),
            None => self.place_of(name),
        }
    }

    fn statement(&self) -> Result<Statement, QueryError> {
        let parsed = DFParser::parse_sql(self.text).map_err(|error| self.unparsed(&error))?;
        let count = parsed.len();
        let mut parsed = parsed.into_iter();
        match (parsed.next(), parsed.next()) {
            (Some(statement), None) => {
                let is_query = matches!(&statement, Statement::Statement(s) if matches!(**s, SqlStatement::Query(_)));
                let place = || first_word(self.text);
                is_query.then_some(statement).ok_or_else(|| {
                    self.error(place(), "not a SELECT", "write one SELECT, or WITH … SELECT, that reads the tables")
                })
            }
            (Some(_), Some(_)) => {
                Err(self.error(None, format!("{count} statements"), "keep one SELECT, or WITH … SELECT"))
            }
            (None, _) => {
                let remedy = "write one SELECT, or remove the file to run the shipped query";
                Err(self.error(None, "no statement", remedy))
            }
        }
    }

    /// The parser puts the place at the end of its message.
    fn unparsed(&self, error: &DataFusionError) -> QueryError {
        let message = one_line(error);
        let message = message.trim_start_matches("SQL error: ").to_owned();
        let message = inner_text(&message);
        let (cause, place) = match message.rsplit_once(" at Line: ") {
            Some((cause, place)) => {
                let mut numbers = place.split(", Column: ").map(|n| {
                    let digits: String = n.chars().take_while(char::is_ascii_digit).collect();
                    digits.parse::<u64>().unwrap_or(0)
                });
                let (line, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
                (cause.to_owned(), Place::of(self.text, line, column))
            }
            None => (message.clone(), None),
        };
        self.error(place, lowercase_first(&cause), self.compare())
    }

    /// The text parses, and names what does not exist or does not fit.
    pub(super) fn unplanned(&self, error: &DataFusionError) -> QueryError {
        let diagnostic = error.diagnostic();
        let place = diagnostic.and_then(|d| d.span).and_then(|s| Place::of(self.text, s.start.line, s.start.column));
        let cause = match diagnostic {
            Some(diagnostic) => diagnostic.message.clone(),
            None => one_line(error),
        };
        let cause = lowercase_first(cause.trim_start_matches("Error during planning: "));
        let cause = cause.replace("datafusion.public.", "");
        let remedy = if cause.starts_with("table ") {
            let names: Vec<&str> = INPUTS.iter().map(|input| input.name).collect();
            format!("the tables are {}", names.join(", "))
        } else {
            self.compare()
        };
        self.error(place, cause, remedy)
    }

    fn compare(&self) -> String {
        format!("compare it with `headroom queries {}`", self.query.name)
    }

    /// The same rows give the same answer, in any process at any time.
    fn deterministic(&self, plan: &LogicalPlan) -> Result<(), QueryError> {
        let mut found: Option<QueryError> = None;
        let known: BTreeSet<&str> = INPUTS.iter().map(|input| input.name).collect();
        let visited = plan.apply_with_subqueries(|node| {
            found = self.node(node, &known);
            if found.is_none() {
                node.apply_expressions(|expr| {
                    expr.apply(|expr| {
                        found = self.expression(expr);
                        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
                    })
                })?;
            }
            Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        visited.map_err(|error| self.unplanned(&error))?;
        found.map_or(Ok(()), Err)
    }

    fn node(&self, node: &LogicalPlan, known: &BTreeSet<&str>) -> Option<QueryError> {
        match node {
            LogicalPlan::TableScan(scan) if !known.contains(scan.table_name.table()) => {
                let names: Vec<&str> = known.iter().copied().collect();
                let name = scan.table_name.table().trim_end_matches("()");
                let cause = format!("`{name}` is not a table of a tick");
                Some(self.error(self.place_of(name), cause, format!("the tables are {}", names.join(", "))))
            }
            LogicalPlan::RecursiveQuery(_) => {
                let remedy = "write the steps out: a tick must end";
                Some(self.error(self.place_of("recursive"), "WITH RECURSIVE may never end", remedy))
            }
            LogicalPlan::Limit(limit) if !matches!(*limit.input, LogicalPlan::Sort(_)) && sort_of(node).is_none() => {
                let remedy = "put an ORDER BY before it";
                Some(self.error(self.place_of("limit"), "LIMIT of rows in no order", remedy))
            }
            LogicalPlan::Distinct(Distinct::On(on)) if on.sort_expr.is_none() => {
                let remedy = "put an ORDER BY behind it, or use GROUP BY";
                Some(self.error(self.place_of("distinct"), "DISTINCT ON keeps any one of the rows", remedy))
            }
            _ => None,
        }
    }

    fn expression(&self, expr: &Expr) -> Option<QueryError> {
        let (name, volatility) = match expr {
            Expr::ScalarFunction(call) => (call.name().to_owned(), call.func.signature().volatility),
            Expr::AggregateFunction(call) => {
                let name = call.func.name();
                if ORDERED_AGGREGATES.contains(&name) && call.params.order_by.is_empty() {
                    let remedy = format!("give it an order: {name}(… ORDER BY …)");
                    let cause = format!("{name} depends on the order of rows");
                    return Some(self.error(self.place_of(name), cause, remedy));
                }
                (name.to_owned(), call.func.signature().volatility)
            }
            Expr::WindowFunction(call) => {
                let name = call.fun.name().to_owned();
                let needs_order =
                    matches!(call.fun, WindowFunctionDefinition::WindowUDF(_)) || ORDERED_AGGREGATES.contains(&&*name);
                if call.params.order_by.is_empty() && needs_order {
                    let remedy = "add ORDER BY to its OVER (…)";
                    let cause = format!("{name} depends on the order of rows");
                    return Some(self.error(self.place_of(&name), cause, remedy));
                }
                (name, call.fun.signature().volatility)
            }
            _ => return None,
        };
        match volatility {
            Volatility::Immutable => None,
            Volatility::Stable | Volatility::Volatile => {
                let remedy = "leave it out, as a replay must find the same: the table `tick` has the times of a tick";
                let cause = format!("{name}() gives another value each time");
                let place = self.place_of(&name).or_else(|| self.place_of("current_timestamp"));
                Some(self.error(place, cause, remedy))
            }
        }
    }

    /// The analysis reads columns by name, as the shipped text has them.
    fn columns(&self, plan: &LogicalPlan, shipped: &Schema) -> Result<(), QueryError> {
        let found = plan.schema();
        let complain = |cause: String, place: Option<Place>| {
            let wanted: Vec<String> =
                shipped.fields().iter().map(|f| format!("{} {}", f.name(), sql_type(f.data_type()))).collect();
            Err(self.error(place, cause, format!("the columns are {}", wanted.join(", "))))
        };
        let named = |name: &str| found.fields().iter().filter(|f| f.name() == name).cloned().collect::<Vec<_>>();
        for wanted in shipped.fields() {
            match named(wanted.name()).as_slice() {
                [] => return complain(format!("no column `{}`", wanted.name()), None),
                [one] if fits(wanted, one) => {}
                [one] => {
                    let (is, must) = (sql_type(one.data_type()), sql_type(wanted.data_type()));
                    return complain(
                        format!("column `{}` is {is}, must be {must}", wanted.name()),
                        self.place_of_column(wanted.name()),
                    );
                }
                _ => return complain(format!("two columns `{}`", wanted.name()), self.place_of_column(wanted.name())),
            }
        }
        match found.fields().iter().find(|f| shipped.field_with_name(f.name()).is_err()) {
            Some(surplus) => {
                complain(format!("column `{}` is not used", surplus.name()), self.place_of_column(surplus.name()))
            }
            None => Ok(()),
        }
    }

    /// The ORDER BY begins with the columns that tell one row from another.
    fn ordered(&self, plan: &LogicalPlan) -> Result<(), QueryError> {
        let found = sort_of(plan).unwrap_or_default();
        let begins = found.len() >= self.query.order.len()
            && found
                .iter()
                .zip(self.query.order)
                .all(|(found, wanted)| *found == Some((wanted.column(), is_up(*wanted))));
        if begins {
            return Ok(());
        }
        let wanted: Vec<String> = self.query.order.iter().map(|order| order.sql()).collect();
        let cause = if found.is_empty() { "no ORDER BY at the end" } else { "ORDER BY leaves the order of rows open" };
        Err(self.error(self.last_order(), cause, format!("begin it with ORDER BY {}", wanted.join(", "))))
    }

    /// The last ORDER of the text.
    fn last_order(&self) -> Option<Place> {
        let tokens = Tokenizer::new(&GenericDialect {}, self.text).tokenize_with_location().ok()?;
        let is_it = |token: &Token| matches!(token, Token::Word(found) if found.value.eq_ignore_ascii_case("order"));
        let start = tokens.iter().rev().find(|token| is_it(&token.token))?.span.start;
        Place::of(self.text, start.line, start.column)
    }
}

fn is_up(order: Order) -> bool {
    match order {
        Order::Up(_) => true,
        Order::Down(_) => false,
    }
}

/// Texts are texts however they are laid out; all else is of the same type.
fn fits(wanted: &Arc<Field>, found: &Arc<Field>) -> bool {
    let plain = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => (**values).clone(),
        other => other.clone(),
    };
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let (wanted, found) = (plain(wanted.data_type()), plain(found.data_type()));
    wanted == found || is_text(&wanted) && is_text(&found)
}

/// By which columns of its answer a plan sorts, and whether upwards; None in place of a sort key that is no column of the
/// answer. None for a plan that does not end with a sort.
fn sort_of(plan: &LogicalPlan) -> Option<Vec<Option<(&str, bool)>>> {
    match plan {
        LogicalPlan::Limit(limit) => sort_of(&limit.input),
        LogicalPlan::Sort(Sort { expr, input, .. }) => {
            let column = |key: &Expr| match key {
                Expr::Column(column) => input.schema().index_of_column(column).ok(),
                _ => None,
            };
            let field = |key: &Expr| Some(input.schema().field(column(key)?).name().as_str());
            Some(expr.iter().map(|sort| Some((field(&sort.expr)?, sort.asc))).collect())
        }
        // Sorted by what the answer leaves out: the projection above drops it.
        LogicalPlan::Projection(projection) => {
            let LogicalPlan::Sort(Sort { expr, .. }) = &*projection.input else { return None };
            let field = |key: &Expr| {
                let index = projection.expr.iter().position(|e| e.clone().unalias() == *key)?;
                Some(projection.schema.field(index).name().as_str())
            };
            Some(expr.iter().map(|sort| Some((field(&sort.expr)?, sort.asc))).collect())
        }
        _ => None,
    }
}

fn first_word(text: &str) -> Option<Place> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let start = tokens.iter().find(|token| matches!(token.token, Token::Word(_)))?.span.start;
    Place::of(text, start.line, start.column)
}

/// `ParserError("…")` reads as what it quotes.
fn inner_text(message: &str) -> String {
    let inner = message.split_once("(\"").and_then(|(_, rest)| rest.rsplit_once("\")"));
    inner.map_or(message, |(inner, _)| inner).replace("\\\"", "\"")
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    first + chars.as_str().trim_end_matches('.')
}

/// DataFusion's message without its line breaks and its backtrace.
pub(super) fn one_line(cause: &DataFusionError) -> String {
    cause.strip_backtrace().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
