// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What the pages look like: small, plain HTML that says what happened and what comes next; light and dark, on a telephone
//! too. Every text that comes from outside is escaped in one place.

use url::Url;

use super::web::{Reply, Way};
use crate::upstream::provider::{Sites, Target};

const STYLE: &str = include_str!("style.css");

/// A page.
pub(super) struct Page {
    title: String,
    /// HTML.
    main: String,
    pub(super) cookie: Option<String>,
}

/// Something to fill in, as HTML.
pub(super) struct Field(String);

/// The style sheet.
pub(super) fn style() -> Reply {
    let headers = [
        ("content-type", "text/css; charset=utf-8"),
        ("cache-control", "public, max-age=3600"),
        ("x-content-type-options", "nosniff"),
    ];
    Reply { status: 200, headers: headers.map(|(name, value)| (name, value.to_owned())).into(), body: STYLE.to_owned() }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// What is wrong with a site that was given.
pub(super) fn wrong_site(sites: &Sites) -> String {
    match sites {
        Sites::Hosts(hosts) => {
            format!("That is not a {} of this provider. It looks like {}.", hosts.noun, hosts.example)
        }
        Sites::One | Sites::Regions(_) => "Choose a region.".to_owned(),
    }
}

impl Field {
    /// The code of a call's answer.
    pub(super) fn code() -> Self {
        Self(
            "<p><label for=\"code\">Code</label>\
             <span class=\"hint\" id=\"code-hint\">It stands in the answer that gave you this link.</span>\
             <input id=\"code\" name=\"code\" required autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" \
             maxlength=\"12\" aria-describedby=\"code-hint\"></p>"
                .to_owned(),
        )
    }

    /// One of several.
    pub(super) fn one_of(name: &str, label: &str, options: Vec<(&str, &str)>) -> Self {
        let option =
            |(value, text): &(&str, &str)| format!("<option value=\"{}\">{}</option>", escape(value), escape(text));
        let options: String = options.iter().map(option).collect();
        Self(format!(
            "<p><label for=\"{name}\">{label}</label><select id=\"{name}\" name=\"{name}\">{options}</select></p>"
        ))
    }

    /// A host of the tenant's own.
    pub(super) fn host(noun: &str, example: &str) -> Self {
        Self(format!(
            "<p><label for=\"site\">Your {noun}</label><span class=\"hint\" id=\"site-hint\">Like {example}</span>\
             <input id=\"site\" name=\"site\" required autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" \
             maxlength=\"253\" aria-describedby=\"site-hint\"></p>",
            noun = escape(noun),
            example = escape(example)
        ))
    }

    /// A key or token.
    pub(super) fn secret(title: &str) -> Self {
        Self(format!(
            "<p><label for=\"secret\">Key or token from {}</label>\
             <span class=\"hint\" id=\"secret-hint\">It is stored encrypted and is not shown again.</span>\
             <input id=\"secret\" name=\"secret\" type=\"password\" required autocomplete=\"off\" spellcheck=\"false\" \
             maxlength=\"8192\" aria-describedby=\"secret-hint\"></p>",
            escape(title)
        ))
    }
}

fn alert(wrong: Option<String>) -> String {
    wrong.map_or_else(String::new, |text| format!("<p class=\"wrong\" role=\"alert\">{}</p>", escape(&text)))
}

impl Page {
    fn new(title: &str, main: String) -> Self {
        Self { title: title.to_owned(), main, cookie: None }
    }

    pub(super) fn with_cookie(mut self, browser: String) -> Self {
        self.cookie = Some(browser);
        self
    }

    /// A page that only says something: what happened, and what is next.
    pub(super) fn notice(title: &str, what: &str, next: &str) -> Self {
        Self::new(title, format!("<p>{}</p><p>{}</p>", escape(what.trim()), escape(next)))
    }

    /// Whose account becomes what.
    pub(super) fn start(
        server: &str,
        title: &str,
        tenant: &str,
        account: &str,
        way: Way,
        fields: Vec<Field>,
        wrong: Option<String>,
    ) -> Self {
        let (server, title, tenant, account) = (escape(server), escape(title), escape(tenant), escape(account));
        let fields: String = fields.into_iter().map(|field| field.0).collect();
        let (next, button) = match way {
            Way::Consent => (
                format!(
                    "You go on to {title}, which asks whether {server} may use your account. You can end that there at any time."
                ),
                format!("Continue to {title}"),
            ),
            Way::Paste => {
                (format!("{server} will use {title} with the key or token that you give here."), "Connect".to_owned())
            }
        };
        let account = if account == "default" { String::new() } else { format!("<dt>Account</dt><dd>{account}</dd>") };
        let main = format!(
            "<p>{next}</p><dl><dt>Connects</dt><dd>{title}</dd><dt>For</dt><dd>{tenant}</dd>{account}\
             <dt>Used by</dt><dd>{server}</dd></dl>{wrong}<form method=\"post\">{fields}<button>{button}</button></form>\
             <p class=\"hint\">If you did not expect this page, close it: nothing has happened yet.</p>",
            wrong = alert(wrong),
        );
        Self::new(&format!("Connect {title}"), main)
    }

    /// What the connection is for.
    pub(super) fn choose(title: &str, noun: &str, tenant: &str, found: &[Target], wrong: Option<String>) -> Self {
        let (title, noun, tenant) = (escape(title), escape(noun), escape(tenant));
        if found.is_empty() {
            let text = format!("This account at {title} has no {noun} that could be used.");
            let next = "Ask whoever manages the account to share one, then load this page again.";
            return Self::new(&format!("No {noun} yet"), format!("<p>{text}</p><p>{next}</p>"));
        }
        let choice = |(n, target): (usize, &Target)| {
            let (id, label) = (escape(&target.id), escape(&target.label));
            let label = if label.is_empty() { &id } else { &label };
            let checked = if found.len() == 1 { " checked" } else { "" };
            format!(
                "<p class=\"choice\"><input type=\"radio\" id=\"t{n}\" name=\"target\" value=\"{id}\" required{checked}>\
                 <label for=\"t{n}\">{label}<span class=\"hint\">{id}</span></label></p>"
            )
        };
        let choices: String = found.iter().enumerate().map(choice).collect();
        let main = format!(
            "<p>The account is connected. Which {noun} is it for?</p><dl><dt>For</dt><dd>{tenant}</dd></dl>{wrong}\
             <form method=\"post\"><fieldset><legend>{title} {noun}</legend>{choices}</fieldset>\
             <button>Use this {noun}</button></form>",
            wrong = alert(wrong),
        );
        Self::new(&format!("Choose a {noun}"), main)
    }

    /// The end.
    pub(super) fn done(title: &str) -> (u16, Self) {
        let what = format!("{title} is connected.");
        (200, Self::notice("Done", &what, "You can close this page and go back to where you came from."))
    }

    /// The link is none, or no longer.
    pub(super) fn gone() -> (u16, Self) {
        let what = "It was used already, has run out, or was opened in another browser before.";
        (410, Self::notice("This link leads nowhere any more", what, "Ask whoever sent it to you for a new one."))
    }

    /// Somebody else goes on with it.
    pub(super) fn other_browser() -> (u16, Self) {
        let what = "Somebody has gone on with it in another browser, and it is good for one only.";
        (409, Self::notice("This link is in use", what, "Go on there, or ask whoever sent it to you for a new one."))
    }

    /// Five wrong codes.
    pub(super) fn too_many_codes() -> (u16, Self) {
        let what = "The code was wrong too often, so the link is closed.";
        (
            429,
            Self::notice("Too many tries", what, "Ask again where the link came from: the next answer has a new link."),
        )
    }

    /// The owner has not finished.
    pub(super) fn no_app(title: &str) -> (u16, Self) {
        let what = format!("{title} is not set up on this server yet.");
        (503, Self::notice("Not ready", &what, "Tell whoever sent you the link: the server has no app for it."))
    }

    /// The provider does not list anything.
    pub(super) fn no_list(title: &str, message: &str) -> (u16, Self) {
        let what = format!("{title} did not say what there is to choose from: {message}.");
        (502, Self::notice("Nothing to choose from just now", &what, "Load this page again in a minute."))
    }

    /// Something of ours failed.
    pub(super) fn unavailable() -> (u16, Self) {
        (
            503,
            Self::notice(
                "Not just now",
                "The server could not do that; nothing was changed.",
                "Try again in a minute.",
            ),
        )
    }

    /// There is no such page.
    pub(super) fn unknown() -> (u16, Self) {
        (404, Self::notice("No such page", "There is nothing at this address.", "Open the link that you were sent."))
    }

    pub(super) fn html(&self, server: &str, base: Option<&Url>) -> String {
        let style = base.map_or("", |base| base.path().trim_end_matches('/'));
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"robots\" content=\"noindex\"><meta name=\"color-scheme\" content=\"light dark\">\
             <title>{title} – {server}</title><link rel=\"stylesheet\" href=\"{style}/connect/style.css\"></head>\
             <body><main><h1>{title}</h1>{main}</main></body></html>\n",
            title = self.title,
            server = escape(server),
            style = escape(style),
            main = self.main,
        )
    }
}
