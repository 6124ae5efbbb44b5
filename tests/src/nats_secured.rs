//! A NATS server that wants TLS, a client's certificate and the JWT of a user.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::certificates::Authority;

/// The files of a secured server and of its clients.
#[derive(Debug)]
pub struct SecuredNats {
    folder: PathBuf,
    account_seed: String,
}

impl SecuredNats {
    /// Writes the configuration of a server into a folder.
    pub(crate) fn write(folder: &Path) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let (server, client) = (authority.sign()?, authority.sign()?);
        for (name, text) in [
            ("ca.pem", &authority.pem()),
            ("server.pem", &server.certificate),
            ("server.key.pem", &server.key),
            ("client.pem", &client.certificate),
            ("client.key.pem", &client.key),
        ] {
            std::fs::write(folder.join(name), text)?;
        }
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        let operator_jwt = jwt(
            &operator,
            &operator,
            &json!({ "type": "operator", "version": 2 }),
        )?;
        let limits = limits_of(&["mem_storage", "disk_storage", "streams", "consumer"]);
        let claims = json!({ "type": "account", "version": 2, "limits": limits });
        let account_jwt = jwt(&operator, &account, &claims)?;
        // JetStream does not start without an account of the system's own.
        let system = KeyPair::new_account();
        let claims = json!({ "type": "account", "version": 2, "limits": limits_of(&[]) });
        let system_jwt = jwt(&operator, &system, &claims)?;
        let path = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "operator: {operator_jwt}\nsystem_account: {0}\nresolver: MEMORY\n\
             resolver_preload: {{ {0}: {system_jwt}, {1}: {account_jwt} }}\n\
             tls {{ cert_file: \"{2}\", key_file: \"{3}\", ca_file: \"{4}\", verify: true }}\n",
            system.public_key(),
            account.public_key(),
            path("server.pem"),
            path("server.key.pem"),
            path("ca.pem"),
        );
        std::fs::write(folder.join("nats.conf"), config)?;
        Ok(Self {
            folder: folder.to_owned(),
            account_seed: account.seed()?,
        })
    }

    /// Path of a file: `ca.pem`, `client.pem`, `client.key.pem` or `nats.conf`.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The text of a credentials file that the server accepts, and its secret part.
    pub fn credentials(&self) -> anyhow::Result<(String, String)> {
        let account = KeyPair::from_seed(&self.account_seed)?;
        credentials_of(&account)
    }

    /// The text of a credentials file of an account that the server does not know, and its secret
    /// part.
    pub fn credentials_of_others(&self) -> anyhow::Result<(String, String)> {
        credentials_of(&KeyPair::new_account())
    }
}

/// The limits of an account, without a bound, with these beside those that every account has.
fn limits_of(more: &[&str]) -> Value {
    let all = [
        "subs", "data", "payload", "imports", "exports", "conn", "leaf",
    ];
    let all = all.iter().chain(more);
    let mut limits: Value = all.map(|name| (*name, json!(-1))).collect();
    limits["wildcards"] = json!(true);
    limits
}

fn credentials_of(account: &KeyPair) -> anyhow::Result<(String, String)> {
    let user = KeyPair::new_user();
    let permissions = json!({
        "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
    });
    let jwt = jwt(account, &user, &permissions)?;
    let seed = user.seed()?;
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    Ok((text, seed))
}

/// Claims of `issuer` about `subject`, signed.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> anyhow::Result<String> {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": subject.public_key(), "iat": 1, "iss": issuer.public_key(),
        "sub": subject.public_key(), "name": "test", "nats": nats,
    });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = format!("{}.{}", part(header), part(claims));
    let signature = issuer.sign(text.as_bytes()).context("signing")?;
    Ok(format!(
        "{text}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(signature)
    ))
}
