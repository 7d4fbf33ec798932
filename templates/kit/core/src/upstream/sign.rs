// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Puts a credential on a request, each auth shape in its own way. This is the only place where one is written out.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::provider::{AuthShape, Provider, checked};
use crate::secret::Secret;
use crate::vault::App;
use crate::vault::credential::{Credential, Kind};

/// What authenticates a request: headers, and for some providers a query parameter.
pub(crate) struct Signature {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) query: Option<(String, String)>,
}

/// Whether a request of this shape carries something of the owner's app.
pub(crate) fn uses_app(shape: &AuthShape) -> bool {
    match shape {
        AuthShape::LwaProfile(_) => true,
        AuthShape::SystemUser(user) => user.proof_param.is_some(),
        AuthShape::ApiKey { .. } | AuthShape::OAuth2Refresh { .. } | AuthShape::Restli { .. } => false,
    }
}

/// The signature of `credential`, with what its shape takes from `app` and the target that it is for. `None` if the two do not belong together or the
/// secret does not fit into a header.
pub(crate) fn sign(provider: &Provider, credential: &Credential, app: Option<&App>) -> Option<Signature> {
    let token = credential.bearer()?;
    let carried = |name: &str, prefix: &str| Some((name.to_owned(), format!("{prefix}{}", checked(token)?)));
    let mut query = None;
    let mut headers = match (&provider.auth, &credential.kind) {
        // A key under OAuth was stored when its provider had nothing but keys; it is as good as it was.
        (AuthShape::ApiKey { header, prefix }, Kind::ApiKey(_))
        | (AuthShape::OAuth2Refresh { header, prefix, .. }, Kind::ApiKey(_) | Kind::OAuth(_)) => {
            vec![carried(header, prefix)?]
        }
        (AuthShape::SystemUser(user), Kind::LongLived(_)) => {
            if let Some(param) = user.proof_param {
                query = Some((param.to_owned(), proof(&app?.client_secret, token)));
            }
            vec![carried(user.header, user.prefix)?]
        }
        (AuthShape::LwaProfile(lwa), Kind::OAuth(_)) => {
            vec![carried("Authorization", "Bearer ")?, (lwa.client_id_header.to_owned(), app?.client_id.clone())]
        }
        (AuthShape::Restli { version, .. }, Kind::OAuth(_)) => vec![
            carried("Authorization", "Bearer ")?,
            ("LinkedIn-Version".to_owned(), (*version).to_owned()),
            ("X-Restli-Protocol-Version".to_owned(), "2.0.0".to_owned()),
        ],
        _ => return None,
    };
    // The list of targets is asked for before one was chosen.
    if let (Some(header), Some(target)) = (provider.targets.and_then(|targets| targets.header), &credential.target) {
        headers.push((header.to_owned(), target.clone()));
    }
    Some(Signature { headers, query })
}

/// `hex(HMAC-SHA256(secret, token))`: Meta's `appsecret_proof`
/// (<https://developers.facebook.com/docs/graph-api/securing-requests>).
pub fn proof(secret: &Secret, token: &Secret) -> String {
    hmac_hex(secret, &[token.expose()]).unwrap_or_default()
}

/// `hex(HMAC-SHA256(key, parts))`. `None` without a key: everybody has that one.
pub(super) fn hmac_hex(key: &Secret, parts: &[&[u8]]) -> Option<String> {
    // HMAC takes a key of any length, so nothing else can fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok().filter(|_| !key.expose().is_empty())?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_the_hex_of_the_keyed_hash() {
        // RFC 4231, test case 2.
        assert_eq!(
            proof(&Secret::from("Jefe"), &Secret::from("what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_key_is_still_good_where_the_provider_has_learnt_oauth_since() {
        let key = Credential::new(Vec::new(), Kind::ApiKey(Secret::from("k")));
        let oauth = super::super::oauth::OAuth::STANDARD;
        let auth = AuthShape::OAuth2Refresh { oauth, header: "Authorization", prefix: "Bearer " };
        let signature = sign(&Provider { auth, ..Provider::PLAIN }, &key, None).unwrap();
        assert_eq!(signature.headers, [("Authorization".to_owned(), "Bearer k".to_owned())]);
    }

    #[test]
    fn a_credential_of_another_shape_signs_nothing() {
        let key = Credential::new(Vec::new(), Kind::ApiKey(Secret::from("k")));
        let auth = AuthShape::Restli { oauth: super::super::oauth::OAuth::STANDARD, version: "202607" };
        assert!(sign(&Provider { auth, ..Provider::PLAIN }, &key, None).is_none());
    }
}
