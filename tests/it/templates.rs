//! What every template must keep to, whatever it says: scaffolding A9, (a) to (g). Golden files show what is rendered;
//! these show that nothing else can be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use mcpkit::answers::{Answers, Integration, Origin};
use mcpkit::tree::Tree;
use mcpkit::{catalog, embed, render};
use minijinja::value::Serde;
use minijinja::{Value, context};
use toml_edit::{DocumentMut, Item};

use crate::rendered;
use crate::support::must;
use crate::support::presets::{PRESETS, preset};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_under(&path)) } else { found.push(path) }
    }
    found
}

/// The templates that are rendered, not copied.
fn rendered_templates() -> impl Iterator<Item = (&'static str, &'static str)> {
    embed::all().into_iter().filter(|(path, _)| path.ends_with(".j2"))
}

/// Every file of every preset, as `preset/path` and text. The copies in `.mcpkit/base/` are left out.
fn outputs() -> impl Iterator<Item = (String, String)> {
    PRESETS.iter().flat_map(|preset| {
        let tree = rendered::whole(preset.name, preset.flags);
        let files = tree.iter().filter(|(path, _)| !path.as_str().starts_with(".mcpkit/base/"));
        files.map(|(path, entry)| (format!("{}/{path}", preset.name), entry.text.clone())).collect::<Vec<_>>()
    })
}

const DELIMITERS: [&str; 4] = ["{{{", "{{%", "%}}", "{{#"];

/// The lines that are `wrong`, as `path:number: line`.
fn lines_with<P: std::fmt::Display, T: AsRef<str>>(
    files: impl IntoIterator<Item = (P, T)>,
    wrong: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let lines = text.as_ref().split('\n').enumerate().filter(|(_, line)| wrong(line));
        found.extend(lines.map(|(number, line)| format!("{path}:{}: {line}", number + 1)));
    }
    found
}

fn extension(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

// (a) The catalogue and the templates name each other.

#[test]
fn every_template_has_a_place_in_the_catalogue() {
    let folder_of = |path: &str, group: &str, items: &'static [catalog::Item]| {
        let rest = path.strip_prefix(group).unwrap_or_default();
        catalog::ids(items).any(|id| rest.starts_with(&format!("{id}/")))
    };
    for (path, _) in embed::all() {
        let known = catalog::FILES.iter().any(|file| file.source == path)
            || catalog::PARTS.contains(&path)
            || path.starts_with("kit/core/")
            || path.starts_with("kit/native/")
            || folder_of(path, "providers/", catalog::PROVIDERS)
            || folder_of(path, "shapes/", catalog::SHAPES);
        assert!(known, "nothing uses templates/{path}");
    }
}

#[test]
fn everything_in_the_catalogue_has_its_templates() {
    let sources = catalog::FILES.iter().map(|file| file.source).chain(catalog::PARTS.iter().copied());
    let missing: Vec<&str> = sources.filter(|source| embed::file(source).is_none()).collect();
    assert_eq!(missing, [""; 0]);
    let group = |group: &str, items| catalog::ids(items).map(move |id| format!("{group}/{id}")).collect::<Vec<_>>();
    let groups =
        [group("providers", catalog::PROVIDERS), group("shapes", catalog::SHAPES), group("deploy", catalog::TARGETS)];
    for folder in groups.concat() {
        assert!(!embed::folder(&folder).is_empty(), "templates/{folder} is empty");
    }
}

#[test]
fn no_two_rows_of_the_catalogue_write_one_file() {
    let mut targets: Vec<String> = catalog::FILES.iter().map(|file| file.target.to_lowercase()).collect();
    targets.sort();
    let twice: Vec<_> = targets.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// `include_dir` embeds text and bytes alike, but `embed` hands out text alone: a binary file would vanish.
#[test]
fn every_file_on_disk_is_embedded_byte_for_byte() {
    let embedded: BTreeMap<&str, &str> = embed::all().into_iter().collect();
    let is_embedded = |path: &&PathBuf| {
        let text = embedded.get(path.strip_prefix(folder()).unwrap().to_str().unwrap());
        text.is_some_and(|text| text.as_bytes() == std::fs::read(path).unwrap())
    };
    let files = files_under(&folder());
    let missing: Vec<&PathBuf> = files.iter().filter(|path| !is_embedded(path)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

// (b) Templates parse and use what there is.

#[test]
fn every_template_parses_and_uses_known_names_only() {
    let mut used = BTreeSet::new();
    for (path, text) in rendered_templates() {
        let mut environment = render::environment().unwrap();
        environment.add_template(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let names = environment.get_template(path).unwrap().undeclared_variables(true);
        for name in names.into_iter().map(|name| name.split('.').next().unwrap_or_default().to_owned()) {
            assert!(render::KEYS.contains(&name.as_str()), "{path} uses `{name}`");
            used.insert(name);
        }
    }
    let unused: Vec<&&str> = render::KEYS.iter().filter(|key| !used.contains(**key)).collect();
    assert!(unused.is_empty(), "no template uses {unused:?}");
}

#[test]
fn a_file_that_is_copied_holds_no_delimiter_of_a_template() {
    let copied = embed::all().into_iter().filter(|(path, _)| !path.ends_with(".j2"));
    assert_eq!(lines_with(copied, |line| DELIMITERS.iter().any(|delimiter| line.contains(delimiter))), [""; 0]);
}

// (c) Every branch of every template is taken by some preset.

#[test]
fn every_branch_of_every_template_is_taken_by_some_preset() {
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    let marked: BTreeMap<&str, String> =
        rendered_templates().map(|(path, text)| (path, mark(path, text, &mut open))).collect();
    assert!(open.len() > 10, "the templates have branches, and the markers find them: {open:#?}");
    for preset in PRESETS {
        let answers = rendered::answers(preset.name, preset.flags);
        let tree = rendered::tree(preset.name, preset.flags);
        for (source, target, integration) in sources(&answers) {
            let render = |text: &str| {
                let environment = render::environment().unwrap();
                environment.render_str(text, values(&answers, integration)).unwrap_or_else(|e| panic!("{source}: {e}"))
            };
            // The values of this test are those of the generator, or this test shows nothing.
            let path = mcpkit::tree::RelPath::parse(&target).unwrap();
            assert_eq!(render(embed::file(source).unwrap()), tree.get(&path).unwrap().text, "{target}");
            let output = render(&marked[source]);
            open.retain(|marker, _| !output.contains(marker.as_str()));
        }
    }
    let never: Vec<&String> = open.values().collect();
    assert!(never.is_empty(), "no preset takes {never:#?}");
}

/// `text` with a marker in each branch of each `if`, an `else` that was left out among them, and in the body of each loop.
fn mark(path: &str, text: &str, markers: &mut BTreeMap<String, String>) -> String {
    let mut marked = String::new();
    let mut blocks: Vec<(&str, bool)> = Vec::new();
    let mut add = |what: &str| {
        let marker = format!("<<branch {}>>", markers.len());
        markers.insert(marker.clone(), format!("{path}: {what}"));
        marker
    };
    let mut rest = text;
    while let Some((before, tag_on)) = rest.split_once("{{%") {
        let (tag, after) = tag_on.split_once("%}}").unwrap();
        assert!(!before.contains("{{#"), "{path}: a comment could hide a tag from this test");
        let inner = tag.trim();
        let whole = format!("{{{{%{tag}%}}}}");
        marked.push_str(before);
        match inner.split_whitespace().next().unwrap_or_default() {
            "if" => {
                blocks.push(("if", false));
                marked.push_str(&format!("{whole}{}", add(inner)));
            }
            "elif" => marked.push_str(&format!("{whole}{}", add(inner))),
            "for" => {
                blocks.push(("for", false));
                marked.push_str(&format!("{whole}{}", add(inner)));
            }
            "else" => {
                blocks.last_mut().unwrap().1 = true;
                marked.push_str(&format!("{whole}{}", add("else")));
            }
            "endif" => {
                let (_, has_else) = blocks.pop().unwrap();
                if !has_else {
                    marked.push_str(&format!("{{{{% else %}}}}{}", add("the `else` that is left out")));
                }
                marked.push_str(&whole);
            }
            "endfor" => {
                blocks.pop();
                marked.push_str(&whole);
            }
            other => panic!("{path}: this test does not know the tag `{other}`"),
        }
        rest = after;
    }
    assert!(blocks.is_empty(), "{path}: {blocks:?}");
    marked.push_str(rest);
    marked
}

/// The templates that `answers` render: source, target and, if it belongs to one, the integration.
fn sources(answers: &Answers) -> Vec<(&'static str, String, Option<&Integration>)> {
    let mut found: Vec<(&str, String, Option<&Integration>)> = Vec::new();
    let common = catalog::FILES.iter().filter(|file| (file.when)(answers));
    found.extend(common.map(|file| (file.source, file.target.to_owned(), None)));
    found.extend(
        embed::folder("kit").into_iter().map(|(path, _)| (path, path.trim_end_matches(".j2").to_owned(), None)),
    );
    for integration in &answers.integrations {
        let settings = format!("config/integrations/{}.toml", integration.instance);
        found.push(("project/config/integration.toml.j2", settings, Some(integration)));
        let folder = match &integration.origin {
            Origin::Provider(id) => format!("providers/{id}"),
            Origin::Custom { shape, .. } => format!("shapes/{shape}"),
        };
        found.extend(embed::folder(&folder).into_iter().map(|(path, _)| {
            let inside = path.strip_prefix(&folder).unwrap().trim_end_matches(".j2");
            (path, format!("src/integrations/{}{inside}", integration.instance), Some(integration))
        }));
    }
    found.retain(|(source, ..)| source.ends_with(".j2"));
    found
}

/// What `render` gives the templates.
fn values(answers: &Answers, integration: Option<&Integration>) -> Value {
    let title = |integration: &Integration| match integration.origin {
        Origin::Provider(id) => id.to_owned(),
        Origin::Custom { .. } => integration.instance.title(),
    };
    let instance =
        |integration: &Integration| context! { name => integration.instance.as_str(), title => title(integration) };
    let api = integration.and_then(|integration| match &integration.origin {
        Origin::Provider(_) => None,
        Origin::Custom { settings, .. } => {
            let own = context! { id => integration.instance.as_str(), title => title(integration) };
            Some(context! { ..own, ..Value::from(Serde(settings)) })
        }
    });
    let features: Vec<&str> = [("http", answers.http()), ("otlp", answers.http()), ("stdio", answers.stdio())]
        .into_iter()
        .filter(|f| f.1)
        .map(|f| f.0)
        .collect();
    context! {
        mcpkit_version => env!("CARGO_PKG_VERSION"),
        name => answers.name.as_str(),
        krate => answers.name.krate(),
        env => answers.name.krate().to_uppercase(),
        http => answers.http(),
        stdio => answers.stdio(),
        transport_features => features,
        integrations => answers.integrations.iter().map(instance).collect::<Vec<_>>(),
        api => api,
        instance => integration.map(instance),
    }
}

// (d) Bytes that no generated file has.

#[test]
fn no_generated_file_holds_a_delimiter_of_a_template() {
    assert_eq!(lines_with(outputs(), |line| DELIMITERS.iter().any(|delimiter| line.contains(delimiter))), [""; 0]);
}

#[test]
fn no_generated_line_holds_a_carriage_return_or_ends_in_a_space() {
    assert_eq!(lines_with(outputs(), |line| line.contains('\r') || line.ends_with([' ', '\t'])), [""; 0]);
}

#[test]
fn no_generated_yaml_holds_a_tab() {
    let yaml = outputs().filter(|(path, _)| matches!(extension(path), "yml" | "yaml"));
    assert_eq!(lines_with(yaml, |line| line.contains('\t')), [""; 0]);
}

#[test]
fn every_generated_file_ends_in_one_newline() {
    for (path, text) in outputs() {
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{path}: {:?}", text.lines().next_back());
    }
}

#[test]
fn no_generated_file_has_two_blank_lines_in_a_row() {
    for (path, text) in outputs() {
        assert!(!text.contains("\n\n\n"), "{path}: an untaken branch has left its blank line");
    }
}

// (e) What is generated is formatted, whatever the names do to the order of imports and the length of lines.

fn is_formatted(name: &str, flags: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut check = Command::new("rustfmt");
    check.current_dir(folder.path()).args(["--check", "--edition", "2024"]);
    for (path, entry) in rendered::tree(name, flags).iter().filter(|(path, _)| !path.as_str().starts_with("kit/")) {
        let place = path.under(folder.path());
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, &entry.text).unwrap();
        if extension(path.as_str()) == "rs" {
            check.arg(path.as_str());
        }
    }
    must(&mut check);
}

#[test]
fn generated_rust_is_formatted_under_every_name() {
    let long = "a".repeat(60);
    for preset in PRESETS {
        for name in ["a", "zz-last", &long] {
            is_formatted(name, preset.flags);
        }
    }
}

#[test]
fn generated_rust_is_formatted_with_the_longest_names_and_settings() {
    let project = "p".repeat(64);
    let api = "z".repeat(32);
    let collection = format!("collection=/{}", "c".repeat(199));
    let prefix = format!("prefix={}", "p".repeat(200));
    let url = format!("base_url=https://a.example/{}", "u".repeat(180));
    let header = format!("header={}", "h".repeat(64));
    let sets = [collection.as_str(), &prefix, &url, &header].into_iter().flat_map(|set| ["--set", set]);
    let flags: Vec<&str> =
        ["--integration", "notion", "--api", &api, "--auth", "api-key"].into_iter().chain(sets).collect();
    is_formatted(&project, &flags);
}

// (f) What is generated parses.

#[test]
fn every_generated_file_parses_as_what_its_name_says() {
    let mut seen = BTreeSet::new();
    for (path, text) in outputs() {
        let fails = |error: &dyn std::fmt::Display| panic!("{path}: {error}");
        match extension(&path) {
            "toml" | "lock" => drop(text.parse::<DocumentMut>().map_err(|error| fails(&error))),
            "yml" | "yaml" => {
                drop(serde_yaml::from_str::<serde_yaml::Value>(&text).map_err(|error| fails(&error)));
            }
            "json" => drop(serde_json::from_str::<serde_json::Value>(&text).map_err(|error| fails(&error))),
            "rs" => drop(syn::parse_file(&text).map_err(|error| fails(&error))),
            _ => continue,
        }
        seen.insert(extension(&path).to_owned());
    }
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, ["json", "lock", "rs", "toml", "yaml", "yml"], "every kind was there to be parsed");
}

/// A project may be called like a word that YAML has a meaning for.
#[test]
fn the_name_of_the_compose_project_is_a_text_whatever_it_is() {
    for name in ["null", "yes", "on", "e1", "acme-ads"] {
        let tree = rendered::tree(name, &["--deploy", "compose"]);
        let yaml: serde_yaml::Value = serde_yaml::from_str(&text(&tree, "deploy/compose/compose.yaml")).unwrap();
        assert_eq!(yaml["name"].as_str(), Some(name));
    }
}

/// Free text reaches files through quoting filters alone.
#[test]
fn free_text_stays_data_in_every_file() {
    for prefix in ["\"; panic!(); //", "\\", "'''", "\"\"\"", "{{{ name }}}", "#", "{}", "${HOME}", "*/"] {
        let set = format!("prefix={prefix}");
        let tree = rendered::tree("acme-ads", &["--api", "crm", "--auth", "api-key", "--set", &set]);
        mcpkit::validate::validate(&tree).unwrap();
        let manifest: DocumentMut = text(&tree, "mcpkit.toml").parse().unwrap();
        assert_eq!(manifest["integrations"][0]["prefix"].as_str(), Some(prefix));
        let provider = syn::parse_file(&text(&tree, "src/integrations/crm/provider.rs")).unwrap();
        assert!(literals(&provider).iter().any(|literal| literal == prefix), "{prefix}");
    }
}

#[test]
fn free_text_stays_data_in_every_shape() {
    let settings = [
        ("oauth2-refresh", "prefix"),
        ("oauth2-refresh", "scopes"),
        ("system-user", "prefix"),
        ("lwa-profile", "scopes"),
        ("restli", "scopes"),
    ];
    for (shape, key) in settings {
        for text in ["\";panic!();//", "\\", "''", "{{{", "#", "{}", "${HOME}", "*/"] {
            let set = format!("{key}={text}");
            let tree = rendered::tree("acme-ads", &["--api", "crm", "--auth", shape, "--set", &set]);
            mcpkit::validate::validate(&tree).unwrap();
            let provider = self::text(&tree, "src/integrations/crm/provider.rs");
            assert!(provider.contains(&format!("{text:?}")), "{shape} {set}: {provider}");
        }
    }
}

/// The text constants of a file.
fn literals(file: &syn::File) -> Vec<String> {
    let value = |item: &syn::Item| match item {
        syn::Item::Const(constant) => match constant.expr.as_ref() {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    };
    file.items.iter().filter_map(value).collect()
}

fn text(tree: &Tree, path: &str) -> String {
    tree.get(&mcpkit::tree::RelPath::parse(path).unwrap()).unwrap().text.clone()
}

// (g) The published crate has every template.

/// Cargo drops a folder with a `Cargo.toml` in it from the crate without a word, and the build still passes.
#[test]
fn no_template_is_called_cargo_toml() {
    let found: Vec<PathBuf> =
        files_under(&folder()).into_iter().filter(|path| path.file_name().is_some_and(|n| n == "Cargo.toml")).collect();
    assert_eq!(found, [""; 0].map(PathBuf::from));
}

#[test]
fn the_published_crate_has_every_template() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let list = ["package", "--list", "--allow-dirty", "--offline", "--package", env!("CARGO_PKG_NAME")];
    let output = must(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(list)).stdout;
    let packaged: BTreeSet<String> = String::from_utf8(output).unwrap().lines().map(str::to_owned).collect();
    for path in files_under(&folder()) {
        let name = format!("templates/{}", path.strip_prefix(folder()).unwrap().display());
        assert!(packaged.contains(&name), "{name} is not in the crate");
    }
}

// The kit: here it is an ordinary crate, there a copy, and both must be built from the same.

#[test]
fn every_file_of_the_kit_says_that_mcpkit_manages_it() {
    for (path, text) in embed::folder("kit") {
        let first = text.lines().next().unwrap_or_default();
        let comment = match extension(path.trim_end_matches(".j2")) {
            "rs" => "//",
            "lua" | "sql" => "--",
            "css" => "/*",
            _ => "#",
        };
        let end = if comment == "/*" { " */" } else { "" };
        let header = if path.ends_with("Cargo.toml.j2") {
            "# Part of the kit. mcpkit changes single keys of this file and keeps yours.".to_owned()
        } else {
            format!("{comment} Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.{end}")
        };
        assert_eq!(first, header, "templates/{path}");
    }
}

fn manifest_here(path: &str) -> DocumentMut {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path).join("Cargo.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn manifest_there(path: &str) -> DocumentMut {
    let preset = preset("zz-everything");
    text(&rendered::tree(preset.name, preset.flags), path).parse().unwrap()
}

/// Dependencies by name, each as `key = value` lines; where they lie differs between here and there.
fn dependencies(manifest: &DocumentMut) -> BTreeMap<String, Vec<String>> {
    let table = manifest["dependencies"].as_table_like().unwrap();
    let entry = |(name, item): (&str, &Item)| {
        let mut keys: Vec<String> = match item.as_table_like() {
            Some(table) => table.iter().map(|(key, value)| format!("{key} = {}", value.to_string().trim())).collect(),
            None => vec![format!("version = {}", item.to_string().trim())],
        };
        keys.retain(|key| !key.starts_with("path = "));
        keys.sort();
        (name.to_owned(), keys)
    };
    table.iter().map(entry).collect()
}

#[test]
fn the_kit_has_the_same_dependencies_here_and_in_a_project() {
    assert_eq!(dependencies(&manifest_here("crates/kit")), dependencies(&manifest_there("kit/core/Cargo.toml")));
    let native = manifest_there("kit/native/Cargo.toml");
    assert_eq!(dependencies(&manifest_here("crates/kit-native")), dependencies(&native));
}

#[test]
fn the_kit_has_the_same_features_here_and_in_a_project_but_for_the_default() {
    let features = |manifest: &DocumentMut| -> BTreeMap<String, String> {
        let table = manifest["features"].as_table_like().unwrap();
        let rows = table.iter().filter(|(name, _)| *name != "default");
        rows.map(|(name, item)| (name.to_owned(), item.to_string().trim().to_owned())).collect()
    };
    let there = manifest_there("kit/native/Cargo.toml");
    assert_eq!(features(&manifest_here("crates/kit-native")), features(&there));
    assert_eq!(
        there["features"]["default"].as_array().map(|array| array.len()),
        Some(0),
        "a project says what it wants"
    );
}

#[test]
fn providers_have_the_same_dependencies_here_and_in_a_project() {
    assert_eq!(dependencies(&manifest_here("crates/providers")), dependencies(&manifest_there("Cargo.toml")));
}
