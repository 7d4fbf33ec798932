//! Names: what is accepted, what is refused, in which words, and what is offered instead.

use mcpkit::name::{InstanceName, ProjectName, nearest};

const SHAPE: &str = "lower-case letters, digits and single hyphens, a letter first, at most 64";
const INSTANCE_SHAPE: &str = "lower-case letters, digits and single hyphens, a letter first, at most 32";

/// The message and the suggestion with which `text` is refused.
fn refused(text: &str) -> (String, Option<String>) {
    let error = ProjectName::parse(text).expect_err(text);
    (error.to_string(), error.suggestion().map(str::to_owned))
}

fn instance_refused(text: &str) -> (String, Option<String>) {
    let error = InstanceName::parse(text).expect_err(text);
    (error.to_string(), error.suggestion().map(str::to_owned))
}

#[test]
fn a_project_may_have_any_plain_kebab_name() {
    let longest = "a".repeat(64);
    for name in ["a", "acme-ads", "a1-2", "zz-last", "generator", "testing", "a-b-c-d", &longest] {
        assert_eq!(ProjectName::parse(name).unwrap().as_str(), name);
    }
}

#[test]
fn the_crate_of_a_project_has_underscores() {
    assert_eq!(ProjectName::parse("acme-ads-2").unwrap().krate(), "acme_ads_2");
}

#[test]
fn a_project_with_another_shape_of_name_is_refused_with_the_nearest_that_fits() {
    let too_long = "a".repeat(65);
    let cut = "a".repeat(64);
    let cases = [
        ("", None),
        ("../x", Some("x")),
        ("a/b", Some("a-b")),
        ("Foo", Some("foo")),
        ("a--b", Some("a-b")),
        ("-a", Some("a")),
        ("a-", Some("a")),
        ("1a", Some("a")),
        ("1", None),
        ("a_b", Some("a-b")),
        ("a b", Some("a-b")),
        ("a.b", Some("a-b")),
        ("Acme Ads!", Some("acme-ads")),
        ("grüße", Some("gr-e")),
        ("日本", None),
    ];
    for (text, suggestion) in cases {
        let message = format!("`{text}` is not a project name: {SHAPE}");
        assert_eq!(refused(text), (message, suggestion.map(str::to_owned)), "{text:?}");
    }
    let message = format!("`{}…` is not a project name: {SHAPE}", "a".repeat(40));
    assert_eq!(refused(&too_long), (message, Some(cut)));
}

#[test]
fn a_project_cannot_have_a_name_that_is_taken() {
    let cases = [
        ("gen", "a keyword of Rust"),
        ("async", "a keyword of Rust"),
        ("yield", "a keyword of Rust"),
        ("std", "a name that cargo has another use for"),
        ("core", "a name that cargo has another use for"),
        ("test", "a name that cargo has another use for"),
        ("target", "a name that cargo has another use for"),
        ("proc-macro", "a name that cargo has another use for"),
        ("con", "a device on Windows"),
        ("lpt9", "a device on Windows"),
        ("rmcp", "a crate that the project depends on"),
        ("tokio", "a crate that the project depends on"),
        ("kit", "a crate that the project depends on"),
        ("kit-native", "a crate that the project depends on"),
    ];
    for (name, why) in cases {
        let message = format!("`{name}` cannot be the name of a project: it is {why}");
        assert_eq!(refused(name), (message, Some(format!("{name}-mcp"))));
    }
}

/// Rust sees crates, and `serde-json` would be the crate `serde_json` a second time.
#[test]
fn a_project_cannot_be_the_crate_of_a_dependency_in_other_letters() {
    let message = "`serde-json` cannot be the name of a project: it is a crate that the project depends on";
    assert_eq!(refused("serde-json"), (message.to_owned(), Some("serde-json-mcp".to_owned())));
}

/// `tests/server/main.rs` has a module of that name, and `use isolation::app` would be ambiguous there.
#[test]
fn a_project_cannot_be_called_like_a_module_beside_which_it_is_used() {
    assert!(ProjectName::parse("isolation").is_err());
}

#[test]
fn what_is_suggested_for_a_project_is_accepted() {
    let longest_taken = ["gen", "STD", "Test", "Rmcp", "con ", "-gen", "union!", "Proc Macro"];
    for text in longest_taken {
        let suggestion = refused(text).1.expect(text);
        assert!(ProjectName::parse(&suggestion).is_ok(), "{text:?} is offered `{suggestion}`, which is refused too");
    }
}

#[test]
fn an_integration_may_have_hyphens_or_underscores_and_has_underscores_then() {
    let longest = "a".repeat(32);
    for (text, name, title) in [
        ("notion", "notion", "Notion"),
        ("acme-crm", "acme_crm", "Acme crm"),
        ("acme_crm", "acme_crm", "Acme crm"),
        ("a1", "a1", "A1"),
        ("std", "std", "Std"),
        ("test", "test", "Test"),
        (&longest, &longest, &format!("A{}", "a".repeat(31))),
    ] {
        let instance = InstanceName::parse(text).unwrap();
        assert_eq!((instance.as_str(), instance.title().as_str()), (name, title));
    }
}

#[test]
fn an_integration_with_another_shape_of_name_is_refused_with_the_nearest_that_fits() {
    let cases = [
        ("", None),
        ("../x", Some("x")),
        ("Foo", Some("foo")),
        ("a__b", Some("a-b")),
        ("a-_b", Some("a-b")),
        ("_a", Some("a")),
        ("a-", Some("a")),
        ("1a", Some("a")),
        ("日本", None),
    ];
    for (text, suggestion) in cases {
        let message = format!("`{text}` is not a name for an integration: {INSTANCE_SHAPE}");
        assert_eq!(instance_refused(text), (message, suggestion.map(str::to_owned)), "{text:?}");
    }
    let message = format!("`{}` is not a name for an integration: {INSTANCE_SHAPE}", "a".repeat(33));
    assert_eq!(instance_refused(&"a".repeat(33)), (message, Some("a".repeat(32))));
}

#[test]
fn an_integration_cannot_be_a_keyword() {
    for name in ["gen", "mod", "type", "self"] {
        let message = format!("`{name}` cannot be the name of an integration: it is a keyword of Rust");
        assert_eq!(instance_refused(name), (message, Some(format!("{name}-api"))));
    }
}

/// Its folder is `src/integrations/<name>`, and a clone on Windows could not make it.
#[test]
fn an_integration_cannot_be_a_device_on_windows() {
    for name in ["con", "aux", "nul", "com1"] {
        assert!(InstanceName::parse(name).is_err(), "{name}");
    }
}

/// `src/integrations/mod.rs` says `use kit::App` beside the modules of the integrations.
#[test]
fn an_integration_cannot_be_called_kit() {
    assert!(InstanceName::parse("kit").is_err());
}

#[test]
fn what_is_suggested_for_an_integration_is_accepted() {
    for text in ["gen", "Type", "_mod", "Self"] {
        let suggestion = instance_refused(text).1.expect(text);
        assert!(InstanceName::parse(&suggestion).is_ok(), "{text:?} is offered `{suggestion}`, which is refused too");
    }
}

#[test]
fn the_nearest_candidate_is_offered_if_it_is_near() {
    let known = ["google-ads", "meta-ads", "notion", "slack"];
    for (text, expected) in [
        ("notio", Some("notion")),
        ("nottion", Some("notion")),
        ("slak", Some("slack")),
        ("googleads", Some("google-ads")),
        ("meta", Some("meta-ads")),
        ("x", None),
        ("", None),
        ("zzz", None),
    ] {
        assert_eq!(nearest(text, known), expected, "{text}");
    }
}
