//! What one rule may use up in one evaluation. rhai bounds little by default (operations not at all,
//! depths differently by build profile), so every limit is set here.

use rhai::Engine;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Operations of one evaluation. Looking at 500 services with a filter and a map takes about 20 000; ten
    /// times that is still over within a few tens of milliseconds.
    pub operations: u64,
    /// Functions calling functions. Rules are flat; this catches recursion before the native stack does.
    pub call_levels: usize,
    /// Nesting of expressions. The first example of the documentation needs more than a debug build of rhai
    /// grants (16 inside functions).
    pub expression_depth: usize,
    /// Bytes of one string; a reason is a sentence, and it goes onto an annotation.
    pub string_bytes: usize,
    /// Elements of one array: above the number of services of a large system.
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
            call_levels: 32,
            expression_depth: 64,
            string_bytes: 4096,
            array_elements: 10_000,
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
