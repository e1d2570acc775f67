//! The answer that stands between all dialects: what a model says to a client.

use spanwise_model::genai::Usage;

use super::conversation::{Part, made_id};
use super::json::Text;

/// One answer.
#[derive(Debug, Default)]
pub struct Answer<'a> {
    pub id: Option<Text<'a>>,
    pub model: Option<Text<'a>>,
    /// What the model said, once for each answer that was asked for.
    pub choices: Vec<Choice<'a>>,
    pub usage: Usage,
}

/// What the model said, and why it stopped.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    pub parts: Vec<Part<'a>>,
    pub finish: Finish,
}

/// Why a model stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// It had said everything.
    #[default]
    Stop,
    /// It said one of the stop sequences: this one, where it is known.
    Sequence(Option<Text<'static>>),
    /// It reached the limit of tokens, its own or the request's.
    Length,
    /// It wants tools to be called.
    Calls,
    /// It refused, or a filter stopped it.
    Filter,
    /// What it wrote could not be understood by its provider.
    Malformed,
}

impl Choice<'_> {
    /// Some dialects say no more than that the model stopped when it wants tools to be called.
    pub fn settle(&mut self) {
        if self.finish == Finish::Stop
            && self.parts.iter().any(|part| matches!(part, Part::Call(_)))
        {
            self.finish = Finish::Calls;
        }
    }
}

impl Answer<'_> {
    /// Gives every call an id where the dialect has none.
    pub fn name_calls(&mut self) {
        let id = self.id.clone().unwrap_or_default();
        let calls = self.choices.iter_mut().flat_map(|choice| &mut choice.parts);
        let calls = calls.filter_map(|part| match part {
            Part::Call(call) => Some(call),
            _ => None,
        });
        for (number, call) in calls.enumerate() {
            if call.id.is_empty() {
                call.id = made_id(&[id.escaped(), call.name.escaped()], number);
            }
        }
    }
}
