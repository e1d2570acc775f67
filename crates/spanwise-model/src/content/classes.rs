//! What content is.

use std::ops::BitOr;

/// A class of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// What people wrote: user messages, and the input of a workflow or an agent.
    UserInput,
    /// System and developer messages, instructions.
    SystemPrompt,
    /// The rest of what a model was given: history, results of tools, definitions of tools.
    LlmInput,
    /// What a model answered.
    LlmOutput,
    /// What a tool was called with, a query for documents.
    ToolInput,
    /// What a tool answered, the documents that were found.
    ToolOutput,
    /// The arguments of any other function.
    FunctionInput,
    /// The result of a function.
    FunctionOutput,
}

/// A set of classes: a text that can be any of them goes when one of them is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes(u8);

impl Classes {
    pub const NONE: Classes = Classes(0);
    pub const ALL: Classes = Classes(u8::MAX);
    /// All that a model can be given.
    pub const PROMPT: Classes = Classes(
        1 << Class::UserInput as u8 | 1 << Class::SystemPrompt as u8 | 1 << Class::LlmInput as u8,
    );

    pub const fn of(class: Class) -> Self {
        Classes(1 << class as u8)
    }

    pub const fn and(self, class: Class) -> Self {
        Classes(self.0 | 1 << class as u8)
    }

    pub const fn meet(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Classes {
    type Output = Classes;

    fn bitor(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }
}
