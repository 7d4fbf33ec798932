//! The presets: rows of the test matrix, each a set of answers. Between them every option is taken and not taken at
//! least once, and options that touch the same file appear together.

/// A name (of the preset and of its project) and the flags of `mcpkit new`.
pub struct Preset {
    pub name: &'static str,
    pub flags: &'static [&'static str],
}

pub const PRESETS: &[Preset] = &[
    Preset { name: "demo-default", flags: &[] },
    Preset { name: "notion-http", flags: &["--integration", "notion", "--transport", "http", "--deploy", "compose"] },
    Preset { name: "notion-stdio", flags: &["--integration", "notion", "--transport", "stdio"] },
    Preset { name: "custom-api", flags: &["--api", "acme-crm", "--auth", "api-key", "--transport", "both"] },
    Preset { name: "custom-oauth", flags: &["--api", "acme-ads", "--auth", "oauth2-refresh", "--transport", "http"] },
    Preset {
        name: "custom-system-user",
        flags: &["--api", "acme-bot", "--auth", "system-user", "--transport", "http"],
    },
    Preset {
        name: "custom-graph",
        flags: &[
            "--api",
            "acme-social",
            "--auth",
            "system-user",
            "--set",
            "proof_param=appsecret_proof",
            "--set",
            "exchange_url=https://graph.acme.example.com/oauth/access_token",
            "--transport",
            "stdio",
        ],
    },
    Preset { name: "custom-lwa", flags: &["--api", "acme-shop", "--auth", "lwa-profile", "--transport", "http"] },
    Preset {
        name: "custom-restli",
        flags: &[
            "--api",
            "acme-jobs",
            "--auth",
            "restli",
            "--set",
            "scopes=r_ads r_ads_reporting",
            "--transport",
            "http",
        ],
    },
    Preset {
        name: "agency",
        flags: &[
            "--integration",
            "amazon-ads",
            "--integration",
            "amazon-attribution",
            "--integration",
            "google-ads",
            "--integration",
            "google-ads=google_ads_uk",
            "--integration",
            "linkedin",
            "--integration",
            "meta",
            "--integration",
            "notion",
            "--integration",
            "shopify",
            "--integration",
            "slack",
            "--integration",
            "slack=slack_eu",
            "--integration",
            "supermetrics",
            "--transport",
            "http",
            "--deploy",
            "compose",
        ],
    },
    Preset {
        name: "zz-everything",
        flags: &[
            "--integration",
            "notion",
            "--api",
            "shop",
            "--auth",
            "api-key",
            "--set",
            "base_url=https://api.shop.example.com/rest",
            "--set",
            "collection=/v2/orders",
            "--set",
            "header=X-Api-Key",
            "--set",
            "prefix=",
            "--transport",
            "both",
            "--deploy",
            "compose",
        ],
    },
];

/// The preset called `name`.
pub fn preset(name: &str) -> &'static Preset {
    PRESETS.iter().find(|preset| preset.name == name).expect("a preset of that name")
}
