//! A project that mcpkit 0.1.0 wrote, what its owner made of it, and templates that come later. What is newer here is brought
//! by the tests, so that a change of today's templates changes nothing in what they expect.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mcpkit::catalog;
use mcpkit::migrate::Migration;
use mcpkit::templates::Templates;
use semver::Version;

use super::must;

/// Unpacks the project into `folder` and commits it there.
pub fn unpack(folder: &Path) -> PathBuf {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/project-0.1.0.tar.xz");
    must(Command::new("tar").arg("-xJf").arg(archive).arg("-C").arg(folder));
    let root = folder.join("acme-ads");
    git(&root, &["init", "--quiet", "--initial-branch=main"]);
    commit(&root, "Generate the project with mcpkit");
    root
}

/// Runs git in `root` and returns what it prints.
pub fn git(root: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(root).args(["-c", "user.name=owner", "-c", "user.email=owner@localhost"]);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    String::from_utf8(must(command.args(["-c", "core.autocrlf=false", "-c", "core.excludesFile="]).args(args)).stdout)
        .unwrap()
}

/// Commits all there is.
pub fn commit(root: &Path, message: &str) {
    git(root, &["add", "--all"]);
    git(root, &["commit", "--quiet", "--message", message]);
}

/// Replaces `old`, which is there once, by `new`.
pub fn edit(root: &Path, path: &str, old: &str, new: &str) {
    let file = root.join(path);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches(old).count(), 1, "{path}: {old}");
    fs::write(file, text.replace(old, new)).unwrap();
}

/// What an owner does to a project in its first weeks.
pub fn owner_edits(root: &Path) {
    let tools = "src/integrations/notion/tools.rs";
    edit(root, tools, "    25\n", "    10\n");
    let last = "Long pages come in parts.\", page_text)\n";
    edit(
        root,
        tools,
        last,
        &format!("{last}        .read(\"titles\", \"Only the titles that `{{search}}` finds.\", titles)\n"),
    );
    edit(
        root,
        tools,
        "#[derive(Debug, Deserialize, JsonSchema)]\n#[serde(deny_unknown_fields)]\nstruct PageId {",
        "#[derive(Debug, Serialize, JsonSchema)]\nstruct Titles {\n    titles: Vec<String>,\n}\n\n\
         async fn titles(call: Call, args: Search) -> Result<Titles, ToolError> {\n    \
         let hits = search(call, args).await?;\n    \
         Ok(Titles { titles: hits.results.into_iter().map(|hit| hit.title).collect() })\n}\n\n\
         #[derive(Debug, Deserialize, JsonSchema)]\n#[serde(deny_unknown_fields)]\nstruct PageId {",
    );
    edit(root, "src/integrations/notion/prompts.rs", "at most ten sentences", "at most five sentences");
    edit(root, "config/server.toml", "# per_minute = 600\n", "per_minute = 1200\n");
    edit(
        root,
        "Cargo.toml",
        "schemars = \"1\"\n",
        "# Numbers for the weekly report.\nitoa = \"1\"\nschemars = \"1\"\n",
    );
    edit(
        root,
        "Cargo.toml",
        "features = [\"macros\", \"rt-multi-thread\", \"sync\"]",
        "features = [\"macros\", \"rt-multi-thread\", \"sync\", \"fs\"]",
    );
    edit(root, "README.md", "An MCP server for many tenants. Each", "The MCP server of Acme's clients. Each");
    edit(root, ".github/workflows/ci.yml", "actions/checkout@v6.0.0", "actions/checkout@v6.0.1");
    edit(root, "kit/core/src/limit/mod.rs", "burst: burst.max(1) }", "burst: burst.clamp(1, 10_000) }");
    edit(root, "mcpkit.toml", "[answers]\n", "# Asked in the kick-off of 2026-10-01.\n[answers]\n");
    fs::remove_file(root.join("RUNBOOK.md")).unwrap();
    fs::create_dir(root.join("docs")).unwrap();
    fs::write(root.join("docs/notes.md"), "Not mcpkit's.\n").unwrap();
    commit(root, "Make it ours");
}

/// The templates of 0.1.0, made from what it wrote: a template without a placeholder renders to itself.
pub fn frozen_templates(root: &Path, version: Version) -> Templates {
    let mut templates = Templates::embedded();
    templates.version = version;
    let base = root.join(".mcpkit/base");
    let text = |path: &str| fs::read_to_string(base.join(format!("{path}.base"))).ok();
    for spec in catalog::FILES.iter().filter(|spec| spec.source != "project/src/integrations/mod.rs.j2") {
        if let Some(text) = text(spec.target) {
            templates = templates.with(spec.source, text);
        }
    }
    for (from, to) in
        [("kit", "kit"), ("src/integrations/notion", "providers/notion"), ("src/integrations/shop", "shapes/api-key")]
    {
        let old: Vec<String> = templates.folder(to).map(str::to_owned).collect();
        let suffix = |path: &str| old.contains(&format!("{path}.j2"));
        for path in files(&base.join(from)) {
            let inside = path.strip_prefix(&base).unwrap().to_str().unwrap().trim_end_matches(".base").to_owned();
            let source = inside.replacen(from, to, 1);
            let source = if suffix(&source) { format!("{source}.j2") } else { source };
            templates = templates.with(source, text(&inside).unwrap());
        }
        for gone in old.iter().filter(|path| {
            let inside = path.replacen(to, from, 1);
            text(inside.strip_suffix(".j2").unwrap_or(&inside)).is_none()
        }) {
            templates = templates.without(gone);
        }
    }
    let lock = text("Cargo.lock").unwrap().replace("name = \"acme-ads\"", "name = \"mcpkit-placeholder\"");
    templates.with("project/Cargo.lock", lock)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// A version of mcpkit to come: new text where the owner has none, where the owner deleted, and where the owner wrote too; a
/// file that has moved, one that is new, a dependency with one feature more.
pub fn newer_templates(root: &Path) -> Templates {
    let mut templates = frozen_templates(root, Version::new(0, 9, 0));
    let mut change = |path: &str, old: &str, new: &str| {
        let text = templates.file(path).unwrap_or_else(|| panic!("{path}")).to_owned();
        assert_eq!(text.matches(old).count(), 1, "{path}: {old}");
        templates = templates.clone().with(path, text.replace(old, new));
    };
    change(
        "providers/notion/tools.rs",
        "Title, address and properties of one page,",
        "Title, address and all properties of one page,",
    );
    change("providers/notion/tools.rs", "Long pages come in parts.", "Long pages come in parts of 100 blocks.");
    change("providers/notion/mod.rs", "mod prompts;\n", "mod prompt_texts;\n");
    change("providers/notion/mod.rs", "mod prompt_texts;\nmod provider;", "mod prompt_texts;\nmod provider;");
    change("providers/notion/mod.rs", "prompts::prompts()", "prompt_texts::prompts()");
    change("providers/notion/prompts.rs", "on a topic, with links.", "Link every page that you used.");
    change("project/README.md.j2", "An MCP server for many tenants. Each", "A multi-tenant MCP server. Each");
    change("project/RUNBOOK.md.j2", "## Is it well?", "## Is it all right?");
    change(
        "project/config/server.toml.j2",
        "# burst = 60\n",
        "# burst = 60\n# Calls of one tool in a minute, of all tenants.\n# per_tool = 0\n",
    );
    change("project/Cargo.toml.j2", "\"rt-multi-thread\", \"sync\"]", "\"rt-multi-thread\", \"sync\", \"time\"]");
    change("project/_github/workflows/ci.yml", "timeout-minutes: 30", "timeout-minutes: 40");
    change(
        "kit/core/src/limit/mod.rs",
        "/// What a bucket answered.\n",
        "impl Rate {\n    /// `count` tokens a second, all of which may be taken at once.\n    \
         pub fn per_second(count: u32) -> Self {\n        Self { interval_us: 1_000_000 / i64::from(count.max(1)), burst: count.max(1) }\n    }\n}\n\n\
         /// What a bucket answered.\n",
    );
    let prompts = templates.file("providers/notion/prompts.rs").unwrap().to_owned();
    templates = templates.without("providers/notion/prompts.rs").with("providers/notion/prompt_texts.rs", prompts);
    let moves: &[(&str, &str)] = &[("src/integrations/notion/prompts.rs", "src/integrations/notion/prompt_texts.rs")];
    templates.migrations = vec![Migration { version: Version::new(0, 9, 0), answers: &[], paths: moves }].into();
    templates
}

/// Settles every conflict in `text` in the owner's favour, as a person in a hurry does.
pub fn take_yours(text: &str) -> String {
    let (mut taken, mut side) = (String::new(), None);
    for line in text.split_inclusive('\n') {
        side = match (line.get(..7), side) {
            (Some("<<<<<<<"), None) => Some(true),
            (Some("|||||||"), Some(true)) => Some(false),
            (Some(">>>>>>>"), Some(false)) => None,
            (_, side) => {
                if side != Some(false) {
                    taken.push_str(line);
                }
                side
            }
        };
    }
    taken
}
