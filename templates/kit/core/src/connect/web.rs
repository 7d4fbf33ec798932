// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The pages, from request to reply. No page has a script, and no page is cached, framed or told to anybody by a referrer.
//!
//! Opening a link changes nothing: mail scanners and messengers open links too. The first form that is sent gives the browser
//! a cookie and the link to that browser.

use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::consent::digest;
use super::link::code_digest;
use super::page::{self, Field, Page};
use super::{Callback, ConnectError, Connector, Start};
use crate::inbound::TenantCtx;
use crate::operator::{NewConnection, OperatorError};
use crate::ports::SqlError;
use crate::registry::Mounted;
use crate::secret::Secret;
use crate::store::connect_links::{LinkRow, MAX_TRIES, Stage};
use crate::tenant::Account;
use crate::upstream::oauth::Pasted;
use crate::upstream::provider::{AuthShape, Sites};

/// The longest form that is read, in bytes.
pub const MAX_FORM_BYTES: usize = 64 << 10;
/// How long the browser keeps its cookie.
const COOKIE_LIFE_S: u32 = 3_600;
/// Where the provider sends the browser back to, under the server's address.
const CALLBACK: &str = "/connect/callback";

/// A request for a page.
pub struct Asked<'a> {
    /// Whether it is a form that was sent.
    pub post: bool,
    /// The path behind `/connect/`.
    pub path: &'a str,
    /// The query, as it stands in the address.
    pub query: &'a str,
    /// The `Cookie` header.
    pub cookie: Option<&'a str>,
    /// The body of a form.
    pub form: &'a [u8],
}

/// What the browser gets.
#[derive(Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: String,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// At the provider.
    Consent,
    /// With a key or a token from the provider's own pages.
    Paste,
}

/// How connections to `mounted` are made; `None` where the owner's app is missing.
pub(crate) fn way(mounted: &Mounted, has_app: bool) -> Option<Way> {
    match (&mounted.provider.auth, mounted.provider.auth.oauth()) {
        (AuthShape::SystemUser(_), _) if mounted.provider.auth.needs_app() && !has_app => None,
        (AuthShape::ApiKey { .. } | AuthShape::SystemUser(_), _) | (_, None) => Some(Way::Paste),
        (_, Some(_)) if has_app => Some(Way::Consent),
        (_, Some(oauth)) => (oauth.pasted == Pasted::AccessToken).then_some(Way::Paste),
    }
}

type Pairs = Vec<(String, String)>;

fn param<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// A link that was found, with what it names.
struct Open<'a> {
    text: &'a str,
    id: String,
    row: LinkRow,
    ctx: TenantCtx,
}

impl Connector {
    /// Answers a request for a page.
    pub async fn answer(&self, asked: &Asked<'_>) -> Reply {
        let page = match (asked.post, asked.path.split('/').collect::<Vec<_>>().as_slice()) {
            (false, ["style.css"]) => return page::style(),
            (false, ["callback"]) => self.callback(asked).await,
            (false, ["done", instance]) => Ok(self.done(instance)),
            (post, [text]) => match self.open(text).await {
                Ok(Some(link)) if post => self.submit(&link, asked).await,
                Ok(Some(link)) => self.show(&link, None).await,
                other => other.map(|_| Page::gone().into()),
            },
            (post, [text, "choose"]) => match self.open(text).await {
                Ok(Some(link)) if post => self.choose(&link, asked).await,
                Ok(Some(link)) => self.choices(&link, asked, None).await,
                other => other.map(|_| Page::gone().into()),
            },
            _ => Ok(Page::unknown().into()),
        };
        page.unwrap_or_else(|_| Page::unavailable().into()).reply(self.registry.name, self.base.get())
    }

    async fn open<'a>(&self, text: &'a str) -> Result<Option<Open<'a>>, SqlError> {
        let id = digest(text);
        let Some(row) = self.store.link(&id, self.clock.wall_ms()).await? else { return Ok(None) };
        let ctx = TenantCtx::for_operator(row.tenant.clone());
        Ok(Some(Open { text, id, row, ctx }))
    }

    /// Whose page it is and what it leads to. `wrong` is what was wrong with the form that was sent before.
    async fn show(&self, link: &Open<'_>, wrong: Option<String>) -> Result<Answer, SqlError> {
        let Some(mounted) = self.registry.integrations.get(&link.row.integration) else {
            return Ok(Page::gone().into());
        };
        if link.row.stage == Stage::Choosing {
            return Ok(Answer::redirect(&self.path(link.text, "/choose")));
        }
        let has_app = matches!(self.vault.app(&link.ctx, &mounted.instance).await, Ok(Some(_)));
        let Some(way) = way(mounted, has_app) else { return Ok(Page::no_app(mounted.provider.title).into()) };
        let mut fields = Vec::new();
        if link.row.code.is_some() {
            fields.push(Field::code());
        }
        match mounted.provider.sites {
            Sites::Regions(regions) if regions.len() > 1 => {
                fields.push(Field::one_of("site", "Region", regions.iter().map(|r| (r.name, r.title)).collect()));
            }
            Sites::Hosts(hosts) => fields.push(Field::host(hosts.noun, hosts.example)),
            Sites::Regions(_) | Sites::One => {}
        }
        if way == Way::Paste {
            fields.push(Field::secret(mounted.provider.title));
        }
        let (tenant, account) = (link.row.tenant.as_str(), link.row.account.as_str());
        let title = mounted.provider.title;
        let status = if wrong.is_some() { 422 } else { 200 };
        Ok(Answer::Page(status, Page::start(self.registry.name, title, tenant, account, way, fields, wrong)))
    }

    /// The form of that page.
    async fn submit(&self, link: &Open<'_>, asked: &Asked<'_>) -> Result<Answer, SqlError> {
        let form: Pairs = form_urlencoded::parse(asked.form).into_owned().collect();
        let Some(mounted) = self.registry.integrations.get(&link.row.integration) else {
            return Ok(Page::gone().into());
        };
        if link.row.stage != Stage::Open {
            return Ok(Page::gone().into());
        }
        if let Some(expected) = &link.row.code {
            let left = MAX_TRIES - link.row.tries - 1;
            if !self.store.try_link(&link.id).await? {
                return Ok(Page::too_many_codes().into());
            }
            let typed = code_digest(param(&form, "code").unwrap_or_default());
            if !bool::from(typed.as_bytes().ct_eq(expected.as_bytes())) {
                return match left {
                    ..=0 => Ok(Page::too_many_codes().into()),
                    1 => self.show(link, Some("That is not the code. One more try is left.".into())).await,
                    left => self.show(link, Some(format!("That is not the code. {left} more tries are left."))).await,
                };
            }
        }
        let (browser, fresh) = match cookie(asked.cookie) {
            Some(browser) => (browser.to_owned(), false),
            None => match crate::token::random(&*self.rng, 32) {
                Ok(browser) => (browser, true),
                Err(_) => return Ok(Page::unavailable().into()),
            },
        };
        if !self.store.claim_link(&link.id, &digest(&browser)).await? {
            return Ok(Page::other_browser().into());
        }
        let answer = self.go_on(link, mounted, &form, &browser).await?;
        Ok(if fresh { answer.with_cookie(browser) } else { answer })
    }

    async fn go_on(&self, link: &Open<'_>, mounted: &Mounted, form: &Pairs, browser: &str) -> Result<Answer, SqlError> {
        // The right code is not asked for twice.
        let row = LinkRow { code: None, ..link.row.clone() };
        let link = &Open { text: link.text, id: link.id.clone(), row, ctx: link.ctx.clone() };
        let site = match crate::operator::site(mounted, param(form, "site").map(str::to_lowercase).as_deref()) {
            Ok(site) => site,
            Err(_) => return self.show(link, Some(page::wrong_site(&mounted.provider.sites))).await,
        };
        let has_app = matches!(self.vault.app(&link.ctx, &mounted.instance).await, Ok(Some(_)));
        let Ok(account) = Account::parse(&link.row.account) else { return Ok(Page::gone().into()) };
        match way(mounted, has_app) {
            None => Ok(Page::no_app(mounted.provider.title).into()),
            Some(Way::Consent) => {
                let Some(back) = self.url(CALLBACK) else { return Ok(Page::unavailable().into()) };
                let start = Start {
                    integration: &mounted.instance,
                    account: &account,
                    site: site.as_deref(),
                    redirect_uri: back.as_str(),
                    browser,
                    link: Some(link.text),
                };
                match self.begin(&link.ctx, &start).await {
                    Ok(begun) => Ok(Answer::redirect(begun.authorize_url.as_str())),
                    Err(error) => Ok(Page::problem(&error).into()),
                }
            }
            Some(Way::Paste) => {
                let Some(secret) = param(form, "secret") else {
                    return self.show(link, Some("Paste the key or token first.".into())).await;
                };
                self.paste(link, mounted, &account, site.as_deref(), Secret::from(secret), browser).await
            }
        }
    }

    async fn paste(
        &self,
        link: &Open<'_>,
        mounted: &Mounted,
        account: &Account,
        site: Option<&str>,
        secret: Secret,
        browser: &str,
    ) -> Result<Answer, SqlError> {
        let browser = digest(browser);
        if !self.store.move_link(&link.id, &browser, Stage::Open, Stage::Choosing).await? {
            return Ok(Page::gone().into());
        }
        let (tenant, integration) = (link.row.tenant.as_str(), mounted.instance.as_str());
        let new = NewConnection { account: account.as_str(), site, ..NewConnection::new(tenant, integration, secret) };
        match self.operator.connection_set(new).await {
            Ok(()) if mounted.provider.targets.is_some() => Ok(Answer::redirect(&self.path(link.text, "/choose"))),
            Ok(()) => {
                self.store.end_link(&link.id).await?;
                Ok(Answer::redirect(&self.path("done/", integration)))
            }
            Err(error) => {
                self.store.move_link(&link.id, &browser, Stage::Choosing, Stage::Open).await?;
                match error {
                    OperatorError::Refused { .. } => {
                        self.show(link, Some("That is not a key or token as the provider writes it.".into())).await
                    }
                    _ => Ok(Page::unavailable().into()),
                }
            }
        }
    }

    /// Back from the provider.
    async fn callback(&self, asked: &Asked<'_>) -> Result<Answer, SqlError> {
        let query: Pairs = form_urlencoded::parse(asked.query.as_bytes()).into_owned().collect();
        let browser = cookie(asked.cookie).unwrap_or_default();
        match self.finish(&Callback { query: &query, browser }).await {
            Ok(finished) => Ok(match (finished.needs_target, &finished.link) {
                (true, Some(link)) => Answer::redirect(&self.path(link, "/choose")),
                _ => Answer::redirect(&self.path("done/", &finished.integration)),
            }),
            Err(error) => Ok(Page::problem(&error).into()),
        }
    }

    /// What the connection can be for.
    async fn choices(&self, link: &Open<'_>, asked: &Asked<'_>, wrong: Option<String>) -> Result<Answer, SqlError> {
        let Some(mounted) = self.chooser(link, asked) else { return Ok(Page::gone().into()) };
        let (tenant, account) = (link.row.tenant.as_str(), link.row.account.as_str());
        let (title, noun) = (mounted.provider.title, mounted.provider.targets.map_or("target", |targets| targets.noun));
        let found = match self.operator.connection_targets(tenant, &mounted.instance, account).await {
            Ok(found) => found,
            Err(OperatorError::Refused { message, .. }) => return Ok(Page::no_list(title, &message).into()),
            Err(_) => return Ok(Page::unavailable().into()),
        };
        let status = if wrong.is_some() { 422 } else { 200 };
        Ok(Answer::Page(status, Page::choose(title, noun, tenant, &found, wrong)))
    }

    /// The form of that page.
    async fn choose(&self, link: &Open<'_>, asked: &Asked<'_>) -> Result<Answer, SqlError> {
        let Some(mounted) = self.chooser(link, asked) else { return Ok(Page::gone().into()) };
        let form: Pairs = form_urlencoded::parse(asked.form).into_owned().collect();
        let (tenant, instance, account) = (link.row.tenant.as_str(), &mounted.instance, link.row.account.as_str());
        let Some(id) = param(&form, "target") else {
            return self.choices(link, asked, Some("Choose one first.".into())).await;
        };
        // Only what the provider lists: an id that somebody made up would be refused with each call.
        let listed = self.operator.connection_targets(tenant, instance, account).await;
        if !listed.is_ok_and(|listed| listed.iter().any(|target| target.id == id)) {
            return self.choices(link, asked, Some("Choose one from the list.".into())).await;
        }
        match self.operator.connection_target(tenant, instance, account, id).await {
            Ok(()) => {
                self.store.end_link(&link.id).await?;
                Ok(Answer::redirect(&self.path("done/", instance)))
            }
            Err(_) => Ok(Page::unavailable().into()),
        }
    }

    /// The integration that something is to be chosen for, in the browser that connected it.
    fn chooser(&self, link: &Open<'_>, asked: &Asked<'_>) -> Option<&Mounted> {
        let browser = digest(cookie(asked.cookie)?);
        let same: bool = link.row.browser.as_ref()?.as_bytes().ct_eq(browser.as_bytes()).into();
        let mounted = self.registry.integrations.get(&link.row.integration)?;
        (same && link.row.stage == Stage::Choosing && mounted.provider.targets.is_some()).then_some(&**mounted)
    }

    fn done(&self, instance: &str) -> Answer {
        match self.registry.integrations.get(instance) {
            Some(mounted) => Page::done(mounted.provider.title).into(),
            None => Page::unknown().into(),
        }
    }

    /// A path of ours, as the browser has to ask for it.
    fn path(&self, head: &str, tail: &str) -> String {
        self.url(&format!("/connect/{head}{tail}")).map_or_else(String::new, Into::into)
    }
}

/// A page or a way on.
pub(super) enum Answer {
    Page(u16, Page),
    Redirect { to: String, cookie: Option<String> },
}

impl Answer {
    fn redirect(to: &str) -> Self {
        Self::Redirect { to: to.to_owned(), cookie: None }
    }

    fn with_cookie(self, browser: String) -> Self {
        match self {
            Self::Redirect { to, .. } => Self::Redirect { to, cookie: Some(browser) },
            Self::Page(status, page) => Self::Page(status, page.with_cookie(browser)),
        }
    }

    fn reply(self, server: &str, base: Option<&url::Url>) -> Reply {
        let secure = base.is_none_or(|base| base.scheme() == "https");
        let (status, mut headers, cookie, body) = match self {
            Self::Redirect { to, cookie } => (303, vec![("location", to)], cookie, String::new()),
            Self::Page(status, page) => (status, Vec::new(), page.cookie.clone(), page.html(server, base)),
        };
        // A form that leads to the provider is sent there by a redirect, which browsers hold against this rule too.
        let forms = if secure { "'self' https:" } else { "'self' https: http:" };
        let policy = format!(
            "default-src 'none'; style-src 'self'; form-action {forms}; frame-ancestors 'none'; base-uri 'none'"
        );
        headers.extend([("content-type", "text/html; charset=utf-8".to_owned()), ("content-security-policy", policy)]);
        headers.extend(
            [
                ("x-frame-options", "DENY"),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cache-control", "no-store"),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        );
        headers.extend(cookie.map(|browser| ("set-cookie", set_cookie(&browser, secure))));
        Reply { status, headers, body }
    }
}

/// Over https the name has a prefix by which browsers refuse it from anybody else (RFC 6265bis §4.1.3.2).
fn set_cookie(browser: &str, secure: bool) -> String {
    let (name, flag) = if secure { ("__Host-connect", "; Secure") } else { ("connect", "") };
    format!("{name}={browser}; Path=/; Max-Age={COOKIE_LIFE_S}; HttpOnly; SameSite=Lax{flag}")
}

fn cookie(header: Option<&str>) -> Option<&str> {
    let pairs = header?.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| matches!(*name, "__Host-connect" | "connect")).map(|(_, value)| value);
    ours.find(|value| value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

impl From<(u16, Page)> for Answer {
    fn from((status, page): (u16, Page)) -> Self {
        Self::Page(status, page)
    }
}

impl Page {
    /// What an error of the consent means to the person.
    fn problem(error: &ConnectError) -> (u16, Self) {
        let link = "Open the link again to go on from the beginning.";
        let operator = "Tell whoever sent you the link; the page cannot mend it.";
        match error {
            ConnectError::Denied => {
                (403, Self::notice("Nothing was connected", "The consent was not given, so nothing was stored. ", link))
            }
            ConnectError::MissingScopes(missing) => {
                let text =
                    format!("These permissions were left out, and the connection needs them: {}.", missing.join(", "));
                (
                    403,
                    Self::notice(
                        "Some permissions are missing",
                        &text,
                        "Open the link again and leave all permissions ticked.",
                    ),
                )
            }
            ConnectError::UnknownState => (
                410,
                Self::notice(
                    "This page is over",
                    "The consent was finished already, or it took longer than ten minutes. Nothing was changed just now.",
                    "If the account is not connected yet, open the link again.",
                ),
            ),
            ConnectError::OtherBrowser => (
                403,
                Self::notice(
                    "Another browser began",
                    "The consent was begun in another browser, so it was not accepted from this one.",
                    "Open the link again, in the browser that you want to use.",
                ),
            ),
            ConnectError::LinkUsed => Self::gone(),
            ConnectError::Forged => (
                403,
                Self::notice(
                    "The answer was not accepted",
                    "What came back does not prove that it comes from the provider, so nothing was stored.",
                    link,
                ),
            ),
            ConnectError::NoApp => Self::no_app("The provider"),
            ConnectError::Refused | ConnectError::NotOffered | ConnectError::NoTokens(_) => {
                let text = "The provider did not give access, so nothing was stored.";
                (502, Self::notice("The provider refused", text, operator))
            }
            ConnectError::Unavailable => Self::unavailable(),
        }
    }
}
