use super::*;

struct Fixed;

impl Secrets for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "KEY").then(|| "sk-secret".to_owned())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        if path == "/key" { Ok("from-file\n".to_owned()) } else { Err(format!("no {path}")) }
    }
}

fn plan(providers: &str, routes: &str) -> Result<Plan, String> {
    let text = format!(
        r#"{{"listeners":[{{"name":"models","port":0}}],
            "model_providers":{providers},"routes":{routes}}}"#
    );
    let config: Config = serde_json::from_str(&text).unwrap();
    Plan::new(config, &Fixed).map_err(|mistake| mistake.to_string())
}

fn targets(plan: &Plan, name: Option<&str>) -> Option<String> {
    let route = plan.route(name)?;
    let shown = |t: &Target| format!("{}:{} x{}", t.upstream.id, t.model, t.weight);
    Some(route.targets.iter().map(shown).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_model_is_found_by_its_whole_name_its_short_name_and_as_the_default() {
    let plan = plan(
        r#"[{"model":"openai/gpt-4o","access_key":"$KEY","default":true},
            {"model":"anthropic/claude-sonnet-4-5","access_key":"file:/key"},
            {"model":"groq/*"}, {"model":"xai/*"}]"#,
        "[]",
    )
    .unwrap();
    let gpt = Some("openai/gpt-4o:gpt-4o x1".to_owned());
    assert_eq!(targets(&plan, Some("openai/gpt-4o")), gpt);
    assert_eq!(targets(&plan, Some("gpt-4o")), gpt);
    assert_eq!(targets(&plan, None), gpt);
    assert_eq!(targets(&plan, Some("groq/llama/70b")), Some("groq/*:llama/70b x1".to_owned()));
    assert_eq!(targets(&plan, Some("gpt-5")), None);
    assert_eq!(plan.route(Some("gpt-4o")).unwrap().targets[0].upstream.base_path, "/v1");
}

#[test]
fn one_family_takes_every_model() {
    let plan = plan(r#"[{"model":"openai/*","base_url":"http://127.0.0.1:9"}]"#, "[]").unwrap();
    assert_eq!(targets(&plan, Some("gpt-5")), Some("openai/*:gpt-5 x1".to_owned()));
}

#[test]
fn a_route_stands_for_its_targets_and_those_of_routes_in_it() {
    let plan = plan(
        r#"[{"model":"openai/a","base_url":"http://h:1"},{"model":"openai/b","base_url":"http://h:1"}]"#,
        r#"[{"model":"smart","targets":[{"model":"a","weight":3},"cheap"]},
            {"model":"cheap","targets":["openai/b"]}]"#,
    )
    .unwrap();
    let both = Some("openai/a:a x3 openai/b:b x1".to_owned());
    assert_eq!(targets(&plan, Some("smart")), both);
    assert_eq!(targets(&plan, Some("cheap")), Some("openai/b:b x1".to_owned()));
}

#[test]
fn mistakes_are_said_so_that_they_can_be_mended() {
    for (providers, routes, said) in [
        (r#"[{"model":"gpt-4o"}]"#, "[]", "expected `provider/model`, found `gpt-4o`"),
        (r#"[{"model":"acme/x"}]"#, "[]", "`acme` is not known; a base_url would say where it is"),
        (r#"[{"model":"openai/x","access_key":"sk-1"}]"#, "[]", "no secret stands in this file"),
        (r#"[{"model":"openai/x","access_key":"$NO"}]"#, "[]", "the variable NO is not set"),
        (r#"[{"model":"bedrock/x","access_key":"$KEY"}]"#, "[]", "a region is missing"),
        (r#"[{"model":"openai/x"},{"model":"openai/x"}]"#, "[]", "is there twice"),
        (r#"[{"model":"openai/x","dialects":["soap"]}]"#, "[]", "`soap` is none of chat, "),
        (
            "[]",
            r#"[{"model":"a","targets":["b"]},{"model":"b","targets":["a"]}]"#,
            "routes: a → b → a is a circle",
        ),
    ] {
        let mistake = plan(providers, routes).err().unwrap_or_default();
        assert!(mistake.contains(said), "{mistake}");
        assert!(!mistake.contains("sk-1"));
    }
}

fn with_agents(listeners: &str, agents: &str) -> Result<Plan, String> {
    let text = format!(r#"{{"listeners":{listeners},"agents":{agents}}}"#);
    Plan::new(serde_json::from_str(&text).unwrap(), &Fixed).map_err(|mistake| mistake.to_string())
}

#[test]
fn the_longest_prefix_that_ends_with_a_step_leads_to_an_agent() {
    let plan = with_agents(
        r#"[{"name":"agents","type":"agent","port":0,"routes":[
             {"path_prefix":"/a/","agent":"short"}, {"path_prefix":"/a/b","agent":"long"}]}]"#,
        r#"[{"id":"short","url":"http://127.0.0.1:1"},{"id":"long","url":"http://127.0.0.1:2/x"}]"#,
    )
    .unwrap();
    let routes = plan.agent_routes("agents").unwrap();
    let found = |path: &str| {
        let found = routes.iter().find_map(|route| Some((route, route.below(path)?)))?;
        Some(format!("{} {}", found.0.agent.id, found.1))
    };
    for (path, expected) in [
        ("/a", Some("short ")),
        ("/a?q=1", Some("short ?q=1")),
        ("/a/", Some("short /")),
        ("/a/bc", Some("short /bc")),
        ("/a/b/c?d", Some("long /c?d")),
        ("/ab", None),
        ("/", None),
    ] {
        assert_eq!(found(path).as_deref(), expected, "{path}");
    }
    assert!(plan.agent_routes("models").is_none());
}

#[test]
fn mistakes_about_agents_are_said_too() {
    let agents = r#"[{"id":"billing","url":"http://127.0.0.1:1"}]"#;
    let listener = |routes: &str| {
        format!(r#"[{{"name":"agents","type":"agent","port":0,"routes":[{routes}]}}]"#)
    };
    for (listeners, agents, said) in [
        (listener(""), "[]", "`agents` is for agents, and there are no agents"),
        (listener(r#"{"path_prefix":"/x","agent":"x"}"#), agents, "which is not under agents"),
        (listener(r#"{"path_prefix":"x","agent":"billing"}"#), agents, "such as /billing"),
        (
            listener(
                r#"{"path_prefix":"/x","agent":"billing"},{"path_prefix":"/x/","agent":"billing"}"#,
            ),
            agents,
            "`/x/` leads to two agents",
        ),
        (
            listener(""),
            r#"[{"id":"a","url":"http://169.254.169.254/latest"}]"#,
            "agents: `a`: no agent may be at `http://169.254.169.254/latest`: it is a link-local or",
        ),
        (
            listener(""),
            r#"[{"id":"a","url":"http://metadata.google.internal"}]"#,
            "`http://metadata.google.internal`: it is the name of a metadata service",
        ),
        (
            r#"[{"name":"m","port":0,"routes":[{"path_prefix":"/x","agent":"billing"}]}]"#.into(),
            agents,
            "`m` has routes, which only agents have",
        ),
    ] {
        let mistake = with_agents(&listeners, agents).err().unwrap_or_default();
        assert!(mistake.contains(said), "{mistake}");
    }
}

const PROVIDERS: &str = r#"[{"model":"openai/a","base_url":"http://h:1","access_key":"$KEY"},
    {"model":"openai/b","base_url":"http://h:1"},{"model":"groq/*","base_url":"http://h:2"}]"#;

fn after(before: &Plan, providers: &str) -> Plan {
    let text = format!(
        r#"{{"listeners":[{{"name":"models","port":0}}],"model_providers":{providers},
            "routes":[{{"model":"both","targets":["openai/a","openai/b"]}}]}}"#
    );
    Plan::after(serde_json::from_str(&text).unwrap(), &Fixed, Some(before)).unwrap()
}

fn state(plan: &Plan, name: &str) -> Arc<balance::Target> {
    Arc::clone(&plan.route(Some(name)).unwrap().targets[0].state)
}

#[test]
fn what_did_not_change_keeps_its_health_and_its_connections() {
    let first = plan(PROVIDERS, "[]").unwrap();
    let of_family = state(&first, "groq/llama");
    let second = after(&first, PROVIDERS);
    for name in ["openai/a", "openai/b", "groq/llama"] {
        assert!(Arc::ptr_eq(&state(&first, name), &state(&second, name)), "{name}");
        let upstream =
            |plan: &Plan| Arc::clone(&plan.route(Some(name)).unwrap().targets[0].upstream);
        assert!(Arc::ptr_eq(&upstream(&first), &upstream(&second)), "{name}");
    }
    assert!(Arc::ptr_eq(&state(&second, "both"), &state(&first, "openai/a")));
    let third =
        after(&second, &PROVIDERS.replace("http://h:1\",\"access", "http://h:3\",\"access"));
    assert!(!Arc::ptr_eq(&state(&third, "openai/a"), &state(&first, "openai/a")));
    assert!(Arc::ptr_eq(&state(&third, "openai/b"), &state(&first, "openai/b")));
    assert!(Arc::ptr_eq(&state(&third, "groq/llama"), &of_family));
    let names: Vec<_> = third.targets().iter().map(|target| target.name().to_string()).collect();
    assert_eq!(names, ["groq/* llama", "openai/a a", "openai/b b"]);
}

#[test]
fn a_credential_that_changed_begins_anew() {
    let first = plan(PROVIDERS, "[]").unwrap();
    let second = after(&first, &PROVIDERS.replace("$KEY", "file:/key"));
    assert!(!Arc::ptr_eq(&state(&first, "openai/a"), &state(&second, "openai/a")));
}

#[test]
fn mistakes_say_where_they_are() {
    let mistake = |providers: &str| {
        let text =
            format!(r#"{{"listeners":[{{"name":"m","port":0}}],"model_providers":{providers}}}"#);
        Plan::new(serde_json::from_str(&text).unwrap(), &Fixed).unwrap_err()
    };
    let second = mistake(r#"[{"model":"openai/a"},{"model":"acme/x"}]"#);
    assert_eq!(second.place(), Some("model_providers[1]"));
}
