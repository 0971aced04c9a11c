//! What one rule may use up in one evaluation. rhai bounds little by default (operations not at all,
//! depths differently by build profile), so every limit is set here.

use rhai::Engine;
use serde::{Deserialize, Serialize};

use crate::model::setting::{Kind, Setting};
use crate::settings;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Operations of one evaluation. Looking at 500 services with a filter and a map takes about 20 000; ten
    /// times that is still over within a few tens of milliseconds.
    pub operations: u64,
    /// Operations of all rules together in one tick, at some 50 ns each: rules that stay within their own limits must not
    /// add up to a tick that is late. Each rule is left a part whatever the others do.
    pub tick_operations: u64,
    /// Functions calling functions. Rules are flat; this catches recursion before the native stack does.
    pub call_levels: usize,
    /// Nesting of expressions. The first example of the documentation needs more than a debug build of rhai
    /// grants (16 inside functions).
    pub expression_depth: usize,
    /// Bytes of one string; a reason is a sentence, and it goes onto an annotation.
    pub string_bytes: usize,
    /// Elements of one array, nested ones included: above the number of services of a large system. One native call may
    /// look at all of them, so that this bounds the time of one operation; and arrays in arrays are as deep as they are
    /// many, so that it bounds the stack.
    pub array_elements: usize,
    pub map_entries: usize,
    pub variables: usize,
    pub functions: usize,
    /// Bytes of one rule's text.
    pub source_bytes: usize,
    /// Rules in force at once; each is evaluated at every tick.
    pub rules: usize,
    /// Proposals of one rule in one evaluation: more than that is a mistake, not a plan.
    pub proposals: usize,
    /// Lines that one evaluation may `print`; the rest is dropped.
    pub printed_lines: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            operations: 200_000,
            tick_operations: 400_000,
            call_levels: 32,
            expression_depth: 64,
            string_bytes: 4096,
            array_elements: 2_000,
            map_entries: 256,
            variables: 128,
            functions: 64,
            source_bytes: 64 * 1024,
            rules: 256,
            proposals: 100,
            printed_lines: 20,
        }
    }
}

impl Limits {
    /// What an operator may set.
    pub const SETTINGS: &'static [Setting<Limits>] = settings![Limits;
        operations as "operations_max": Kind::count(1_000, 1_000_000_000), "operations of one evaluation";
        tick_operations as "tick_operations_max": Kind::count(1_000, 1_000_000_000), "operations of all rules together in one tick";
        call_levels as "call_levels_max": Kind::count(4, 256), "functions calling functions";
        expression_depth as "expression_depth_max": Kind::count(16, 1_024), "nesting of expressions";
        string_bytes as "string_bytes_max": Kind::bytes(64, 1 << 20), "bytes of one string";
        array_elements as "array_elements_max": Kind::count(100, 20_000), "elements of one array, those of arrays in it included";
        map_entries as "map_entries_max": Kind::count(16, 1_000_000), "entries of one map";
        variables as "variables_max": Kind::count(8, 10_000), "variables in scope";
        functions as "functions_max": Kind::count(1, 10_000), "functions of one rule";
        source_bytes as "source_bytes_max": Kind::bytes(1 << 10, 1 << 20), "bytes of one rule's text";
        rules as "rules_max": Kind::count(1, 1_000), "rules in force at once";
        proposals as "proposals_max": Kind::count(1, 10_000), "proposals of one rule in one evaluation";
        printed_lines as "printed_lines_max": Kind::count(0, 10_000), "lines that one evaluation may print; the rest is dropped";
    ];

    pub(super) fn apply(&self, engine: &mut Engine) {
        engine
            .set_max_operations(self.operations)
            .set_max_call_levels(self.call_levels)
            .set_max_expr_depths(self.expression_depth, self.expression_depth)
            .set_max_string_size(self.string_bytes)
            .set_max_array_size(self.array_elements)
            .set_max_map_size(self.map_entries)
            .set_max_variables(self.variables)
            .set_max_functions(self.functions)
            .set_max_modules(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set() {
        crate::model::setting::check(Limits::SETTINGS, &[]);
    }
}
