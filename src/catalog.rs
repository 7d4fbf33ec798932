//! What a project can be made of, as data. Prompts, flags, `list`, completions and documentation all read these tables.

use crate::answers::Answers;
use crate::tree::Class;

/// One row of a list: what is typed, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is typed.
    pub id: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
}

/// Upstream APIs that are ready to use.
pub const PROVIDERS: &[Item] = &[
    Item { id: "amazon-ads", summary: "Amazon Ads: campaigns of a profile; Login With Amazon" },
    Item { id: "amazon-attribution", summary: "Amazon Attribution: advertisers and reports; Login With Amazon" },
    Item { id: "google-ads", summary: "Google Ads: customers, campaigns, reports; OAuth" },
    Item { id: "linkedin", summary: "LinkedIn Marketing: ad accounts and analytics; OAuth" },
    Item { id: "meta", summary: "Meta Marketing: ad accounts, campaigns, insights; a system user's token" },
    Item { id: "notion", summary: "Notion: search, pages, text; an internal token or OAuth" },
    Item { id: "shopify", summary: "Shopify: orders and products of a shop; OAuth" },
    Item { id: "slack", summary: "Slack: channels, and posting to them; a bot token or OAuth" },
    Item { id: "supermetrics", summary: "Supermetrics: accounts and queries; an API key" },
];

/// How an API of one's own can authenticate.
pub const SHAPES: &[Item] = &[
    Item { id: "api-key", summary: "A key in a header, made by the tenant at the API's own site" },
    Item { id: "oauth2-refresh", summary: "OAuth 2: access tokens that end, renewed with a refresh token" },
    Item { id: "system-user", summary: "A token that an administrator makes for a machine, as at Meta" },
    Item { id: "lwa-profile", summary: "Login With Amazon: OAuth 2, and a profile that each request names" },
    Item { id: "restli", summary: "OAuth 2 and the encoding of Rest.li, as at LinkedIn" },
];

/// Places to deploy to.
pub const TARGETS: &[Item] =
    &[Item { id: "compose", summary: "Docker Compose on one machine, with SQLite on a volume" }];

/// A program that somebody needs on their machine.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// What it is called.
    pub name: &'static str,
    /// What to run to see whether it is there; the first line it prints says which one it is.
    pub command: &'static [&'static str],
    /// How to get it.
    pub remedy: &'static str,
}

/// What it takes to deploy to a target from this machine.
const TOOLS: &[(&str, &[Tool])] = &[(
    "compose",
    &[
        Tool {
            name: "docker",
            command: &["docker", "--version"],
            remedy: "install Docker: https://docs.docker.com/engine/install",
        },
        Tool {
            name: "docker compose",
            command: &["docker", "compose", "version"],
            remedy: "install its compose plugin: https://docs.docker.com/compose/install",
        },
    ],
)];

/// What it takes to deploy to `target`.
pub fn tools(target: &str) -> &'static [Tool] {
    TOOLS.iter().find(|(id, _)| *id == target).map_or(&[], |(_, tools)| *tools)
}

/// How clients reach the server.
pub const TRANSPORTS: &[Item] = &[
    Item { id: "both", summary: "HTTP for remote clients, stdio for local ones" },
    Item { id: "http", summary: "HTTP only" },
    Item { id: "stdio", summary: "stdio only: a child process of a local client" },
];

/// Provider taken when nothing is said.
pub const DEFAULT_PROVIDER: &str = "notion";
/// Transport taken when nothing is said.
pub const DEFAULT_TRANSPORT: &str = "both";

/// A value of a custom API that nobody is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Key in `--set` and in `mcpkit.toml`.
    pub key: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Taken when nothing is said; `{api}` stands for the API's name with hyphens.
    pub default: &'static str,
}

/// What a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An https URL without query.
    Url,
    /// The name of a header.
    Header,
    /// A path that begins with `/`.
    Path,
    /// Visible characters and spaces.
    Text,
    /// The same as `Url`, or nothing.
    OptionalUrl,
    /// The name of a query parameter.
    Param,
    /// The same, or nothing.
    OptionalParam,
    /// Names separated by spaces, or nothing.
    Words,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A month, as `YYYYMM`.
    Month,
}

/// The settings of a custom API of the shape `api-key`. The default host is one that nobody can own; `config check` of
/// the generated server says so until it is replaced.
pub const API_KEY_SETTINGS: &[Setting] = &[
    Setting {
        key: "base_url",
        summary: "scheme and host of the API",
        kind: Kind::Url,
        default: "https://{api}.example",
    },
    Setting { key: "collection", summary: "path of the collection to read", kind: Kind::Path, default: "/v1/items" },
    Setting { key: "header", summary: "header that carries the key", kind: Kind::Header, default: "Authorization" },
    Setting { key: "prefix", summary: "what stands before the key", kind: Kind::Text, default: "Bearer " },
];

const BASE_URL: Setting = Setting {
    key: "base_url",
    summary: "scheme and host of the API",
    kind: Kind::Url,
    default: "https://{api}.example",
};
const COLLECTION: Setting =
    Setting { key: "collection", summary: "path of the collection to read", kind: Kind::Path, default: "/v1/items" };
const AUTHORIZE_URL: Setting = Setting {
    key: "authorize_url",
    summary: "page where a person consents",
    kind: Kind::Url,
    default: "https://{api}.example/oauth/authorize",
};
const TOKEN_URL: Setting = Setting {
    key: "token_url",
    summary: "where codes and refresh tokens are exchanged",
    kind: Kind::Url,
    default: "https://{api}.example/oauth/token",
};
const SCOPES: Setting =
    Setting { key: "scopes", summary: "scopes to ask for, separated by spaces", kind: Kind::Words, default: "" };
const TOKEN_HEADER: Setting =
    Setting { key: "header", summary: "header that carries the token", kind: Kind::Header, default: "Authorization" };
const TOKEN_PREFIX: Setting =
    Setting { key: "prefix", summary: "what stands before the token", kind: Kind::Text, default: "Bearer " };

/// The settings of a custom API of the shape `oauth2-refresh`.
pub const OAUTH2_REFRESH_SETTINGS: &[Setting] = &[
    BASE_URL,
    COLLECTION,
    AUTHORIZE_URL,
    TOKEN_URL,
    SCOPES,
    Setting {
        key: "client_auth",
        summary: "how the app proves itself at the token endpoint",
        kind: Kind::Choice(&["body-form", "body-json", "basic-form", "basic-json"]),
        default: "body-form",
    },
    Setting {
        key: "pkce",
        summary: "whether consents are bound by PKCE",
        kind: Kind::Choice(&["yes", "no"]),
        default: "yes",
    },
    Setting {
        key: "refresh_life",
        summary: "how long a refresh token lives",
        kind: Kind::Choice(&["endless", "idle", "sliding", "absolute"]),
        default: "endless",
    },
    TOKEN_HEADER,
    TOKEN_PREFIX,
];

/// The settings of a custom API of the shape `system-user`.
pub const SYSTEM_USER_SETTINGS: &[Setting] = &[
    BASE_URL,
    COLLECTION,
    TOKEN_HEADER,
    TOKEN_PREFIX,
    Setting {
        key: "proof_param",
        summary: "query parameter with the proof of the app's secret; empty for none",
        kind: Kind::OptionalParam,
        default: "",
    },
    Setting {
        key: "exchange_url",
        summary: "where a token is exchanged for the next; empty if tokens do not end",
        kind: Kind::OptionalUrl,
        default: "",
    },
    Setting {
        key: "token_param",
        summary: "query parameter that carries the token to be exchanged",
        kind: Kind::Param,
        default: "exchange_token",
    },
];

/// The settings of a custom API of the shape `lwa-profile`.
pub const LWA_PROFILE_SETTINGS: &[Setting] = &[
    BASE_URL,
    COLLECTION,
    AUTHORIZE_URL,
    TOKEN_URL,
    SCOPES,
    Setting {
        key: "client_id_header",
        summary: "header with the app's client id",
        kind: Kind::Header,
        default: "Amazon-Advertising-API-ClientId",
    },
    Setting {
        key: "profile_header",
        summary: "header with the profile",
        kind: Kind::Header,
        default: "Amazon-Advertising-API-Scope",
    },
    Setting {
        key: "profiles_path",
        summary: "path that lists the profiles",
        kind: Kind::Path,
        default: "/v2/profiles",
    },
];

/// The settings of a custom API of the shape `restli`.
pub const RESTLI_SETTINGS: &[Setting] = &[
    BASE_URL,
    Setting { default: "/rest/items", ..COLLECTION },
    AUTHORIZE_URL,
    TOKEN_URL,
    SCOPES,
    Setting { key: "version", summary: "version of the API", kind: Kind::Month, default: "202607" },
];

/// A file of the project that is not part of an integration.
pub struct FileSpec {
    /// Template, under `templates/`.
    pub source: &'static str,
    /// Path in the project.
    pub target: &'static str,
    /// Who changes it.
    pub class: Class,
    /// Whether this project has it.
    pub when: fn(&Answers) -> bool,
}

const fn file(source: &'static str, target: &'static str, class: Class) -> FileSpec {
    FileSpec { source, target, class, when: always }
}

fn always(_: &Answers) -> bool {
    true
}

fn compose(answers: &Answers) -> bool {
    answers.deploys_to("compose")
}

/// Every template outside `kit/`, `providers/` and `shapes/`, and where it goes.
pub const FILES: &[FileSpec] = &[
    file("project/AGENTS.md.j2", "AGENTS.md", Class::Seeded),
    file("project/Cargo.toml.j2", "Cargo.toml", Class::Structural),
    file("project/LICENSE", "LICENSE", Class::Seeded),
    file("project/README.md.j2", "README.md", Class::Seeded),
    file("project/RUNBOOK.md.j2", "RUNBOOK.md", Class::Seeded),
    file("project/_gitattributes", ".gitattributes", Class::Seeded),
    file("project/_github/workflows/ci.yml", ".github/workflows/ci.yml", Class::Seeded),
    file("project/_github/workflows/drift.yml", ".github/workflows/drift.yml", Class::Seeded),
    file("project/_gitignore", ".gitignore", Class::Seeded),
    file("project/clippy.toml", "clippy.toml", Class::Seeded),
    file("project/config/server.toml.j2", "config/server.toml", Class::Seeded),
    file("project/rustfmt.toml", "rustfmt.toml", Class::Seeded),
    file("project/src/integrations/mod.rs.j2", "src/integrations/mod.rs", Class::Managed),
    file("project/src/lib.rs.j2", "src/lib.rs", Class::Seeded),
    file("project/src/main.rs.j2", "src/main.rs", Class::Seeded),
    file("project/tests/server/isolation.rs.j2", "tests/server/isolation.rs", Class::Seeded),
    file("project/tests/server/main.rs.j2", "tests/server/main.rs", Class::Seeded),
    FileSpec {
        source: "project/observability/alerts.yml.j2",
        target: "observability/alerts.yml",
        class: Class::Seeded,
        when: Answers::http,
    },
    FileSpec {
        source: "project/observability/dashboard.json.j2",
        target: "observability/dashboard.json",
        class: Class::Seeded,
        when: Answers::http,
    },
    FileSpec {
        source: "project/observability/prometheus.yml.j2",
        target: "observability/prometheus.yml",
        class: Class::Seeded,
        when: Answers::http,
    },
    FileSpec {
        source: "project/tests/server/http.rs.j2",
        target: "tests/server/http.rs",
        class: Class::Seeded,
        when: Answers::http,
    },
    FileSpec {
        source: "deploy/compose/Dockerfile.j2",
        target: "deploy/compose/Dockerfile",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/README.md.j2",
        target: "deploy/compose/README.md",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/collector.yaml",
        target: "deploy/compose/collector.yaml",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/compose.yaml.j2",
        target: "deploy/compose/compose.yaml",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/dockerignore",
        target: "deploy/compose/Dockerfile.dockerignore",
        class: Class::Seeded,
        when: compose,
    },
    FileSpec {
        source: "deploy/compose/env.example",
        target: "deploy/compose/env.example",
        class: Class::Seeded,
        when: compose,
    },
];

/// Templates that other modules read on their own: not files of a project as they stand.
pub const PARTS: &[&str] = &["project/Cargo.lock", "project/config/integration.toml.j2"];

/// The ids of a list.
pub fn ids(items: &'static [Item]) -> impl Iterator<Item = &'static str> {
    items.iter().map(|item| item.id)
}
