//! The parameters of a request that its span shows. One that is not of the expected type is left
//! out: whether it is acceptable is the provider's business.

use std::borrow::Cow;

use crate::dialect::Dialect;
use crate::json::{Kind, Value};

/// Parameters under OpenTelemetry's names, whatever the dialect calls them.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Parameters<'a> {
    pub max_tokens: Option<u64>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub stop_sequences: Vec<Cow<'a, str>>,
    pub seed: Option<i64>,
    /// How many answers are wanted.
    pub choice_count: Option<u64>,
    /// `low`, `high` and so on.
    pub reasoning_effort: Option<Cow<'a, str>>,
    /// How many tokens the model may think.
    pub reasoning_budget: Option<u64>,
    pub previous_response_id: Option<Cow<'a, str>>,
    pub conversation_id: Option<Cow<'a, str>>,
    pub service_tier: Option<Cow<'a, str>>,
    /// The end user.
    pub user: Option<Cow<'a, str>>,
    pub encoding_format: Option<Cow<'a, str>>,
    pub dimensions: Option<u64>,
    /// `text` or `json`.
    pub output_type: Option<&'static str>,
    /// Whether the answer is made in the background and fetched later.
    pub background: bool,
}

impl<'a> Parameters<'a> {
    /// The same without the body they were read from.
    pub fn into_owned(self) -> Parameters<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        let stop_sequences = self.stop_sequences.into_iter();
        Parameters {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            stop_sequences: stop_sequences.map(|text| Cow::Owned(text.into_owned())).collect(),
            seed: self.seed,
            choice_count: self.choice_count,
            reasoning_effort: own(self.reasoning_effort),
            reasoning_budget: self.reasoning_budget,
            previous_response_id: own(self.previous_response_id),
            conversation_id: own(self.conversation_id),
            service_tier: own(self.service_tier),
            user: own(self.user),
            encoding_format: own(self.encoding_format),
            dimensions: self.dimensions,
            output_type: self.output_type,
            background: self.background,
        }
    }

    /// Takes in a member of a body.
    pub(super) fn take(&mut self, dialect: Dialect, key: &str, value: Value<'a>) {
        match dialect {
            Dialect::Chat => self.chat(key, value),
            Dialect::Responses => self.responses(key, value),
            Dialect::Embeddings => self.embeddings(key, value),
            Dialect::Messages => self.messages(key, value),
            Dialect::Gemini => match key {
                "generationConfig" | "generation_config" => self.each(value, Self::gemini),
                _ => {}
            },
            Dialect::Converse => self.converse(key, value),
            Dialect::Ollama => self.ollama(key, value),
        }
    }

    fn each(&mut self, object: Value<'a>, take: fn(&mut Self, &str, Value<'a>)) {
        for (key, value) in object.members() {
            take(self, &key, value);
        }
    }

    /// What most dialects call alike.
    fn shared(&mut self, key: &str, value: Value<'a>) {
        match key {
            "temperature" => self.temperature = value.as_f64(),
            "top_p" => self.top_p = value.as_f64(),
            "top_k" => self.top_k = value.as_u64(),
            "frequency_penalty" => self.frequency_penalty = value.as_f64(),
            "presence_penalty" => self.presence_penalty = value.as_f64(),
            "seed" => self.seed = value.as_i64(),
            "service_tier" => self.service_tier = value.as_words(),
            "user" => self.user = value.as_words(),
            "stop" | "stop_sequences" => self.stop(value),
            _ => {}
        }
    }

    fn stop(&mut self, value: Value<'a>) {
        self.stop_sequences = match value.kind {
            Kind::Text => value.as_text().into_iter().collect(),
            _ => value.elements().filter_map(|element| element.as_text()).collect(),
        };
    }

    fn chat(&mut self, key: &str, value: Value<'a>) {
        match key {
            "max_completion_tokens" => self.max_tokens = value.as_u64().or(self.max_tokens),
            "max_tokens" => self.max_tokens = self.max_tokens.or(value.as_u64()),
            "n" => self.choice_count = value.as_u64(),
            "reasoning_effort" => self.reasoning_effort = value.as_words(),
            "reasoning" => self.reasoning(value),
            "response_format" => self.output(value.get("type")),
            _ => self.shared(key, value),
        }
    }

    fn responses(&mut self, key: &str, value: Value<'a>) {
        match key {
            "max_output_tokens" => self.max_tokens = value.as_u64(),
            "reasoning" => self.reasoning(value),
            "previous_response_id" => self.previous_response_id = value.as_words(),
            "conversation" => {
                let id = value.get("id").and_then(|id| id.as_words());
                self.conversation_id = value.as_words().or(id);
            }
            "background" => self.background = value.as_bool() == Some(true),
            "text" => self.output(value.get("format").and_then(|format| format.get("type"))),
            _ => self.shared(key, value),
        }
    }

    fn reasoning(&mut self, value: Value<'a>) {
        self.reasoning_effort = value.get("effort").and_then(|effort| effort.as_words());
        self.reasoning_budget = value.get("max_tokens").and_then(|budget| budget.as_u64());
    }

    fn output(&mut self, kind: Option<Value<'a>>) {
        self.output_type = match kind.and_then(|kind| kind.as_text()).as_deref() {
            Some("json_object" | "json_schema" | "application/json") => Some("json"),
            Some("text" | "text/plain") => Some("text"),
            _ => None,
        };
    }

    fn embeddings(&mut self, key: &str, value: Value<'a>) {
        match key {
            "encoding_format" => self.encoding_format = value.as_words(),
            "dimensions" => self.dimensions = value.as_u64(),
            "user" => self.user = value.as_words(),
            _ => {}
        }
    }

    fn messages(&mut self, key: &str, value: Value<'a>) {
        match key {
            "max_tokens" => self.max_tokens = value.as_u64(),
            "metadata" => self.user = value.get("user_id").and_then(|user| user.as_words()),
            "thinking" => {
                self.reasoning_budget = value.get("budget_tokens").and_then(|n| n.as_u64());
            }
            "output_config" => {
                self.reasoning_effort = value.get("effort").and_then(|effort| effort.as_words());
            }
            _ => self.shared(key, value),
        }
    }

    fn gemini(&mut self, key: &str, value: Value<'a>) {
        match key {
            "maxOutputTokens" => self.max_tokens = value.as_u64(),
            "topP" => self.top_p = value.as_f64(),
            "topK" => self.top_k = value.as_u64(),
            "frequencyPenalty" => self.frequency_penalty = value.as_f64(),
            "presencePenalty" => self.presence_penalty = value.as_f64(),
            "stopSequences" => self.stop(value),
            "candidateCount" => self.choice_count = value.as_u64(),
            "responseMimeType" => self.output(Some(value)),
            "thinkingConfig" => {
                self.reasoning_effort = value.get("thinkingLevel").and_then(|it| it.as_words());
                self.reasoning_budget = value.get("thinkingBudget").and_then(|it| it.as_u64());
            }
            _ => self.shared(key, value),
        }
    }

    fn converse(&mut self, key: &str, value: Value<'a>) {
        match key {
            "inferenceConfig" => self.each(value, Self::converse_inference),
            "additionalModelRequestFields" => self.each(value, Self::messages),
            "serviceTier" => self.service_tier = value.get("type").and_then(|it| it.as_words()),
            _ => {}
        }
    }

    fn converse_inference(&mut self, key: &str, value: Value<'a>) {
        match key {
            "maxTokens" => self.max_tokens = value.as_u64(),
            "topP" => self.top_p = value.as_f64(),
            "stopSequences" => self.stop(value),
            _ => self.shared(key, value),
        }
    }

    fn ollama(&mut self, key: &str, value: Value<'a>) {
        match key {
            "options" => self.each(value, Self::ollama_option),
            "think" => self.reasoning_effort = value.as_words(),
            "format" if !value.is_null() => self.output_type = Some("json"),
            _ => {}
        }
    }

    fn ollama_option(&mut self, key: &str, value: Value<'a>) {
        match key {
            "num_predict" => self.max_tokens = value.as_u64(),
            _ => self.shared(key, value),
        }
    }
}
