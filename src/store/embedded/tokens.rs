//! API tokens in the database. What was revoked is remembered by its hash: it never works again.

use rusqlite::{Connection, params};

use super::definitions::write_audit;
use super::ops::{meta, set_meta};
use super::tx::Tx;
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::admin::{NewAudit, NewToken, Scope, Token};

/// All tokens.
pub fn read(db: &Connection) -> rusqlite::Result<Vec<Token>> {
    db.prepare_cached("SELECT id, name, scopes, hash, created FROM token ORDER BY id")?
        .query_map([], |r| {
            Ok(Token {
                id: r.get(0)?,
                name: r.get(1)?,
                scopes: serde_json::from_str(&r.get::<_, String>(2)?).unwrap_or_default(),
                hash: r.get(3)?,
                created: Timestamp(r.get(4)?),
            })
        })?
        .collect()
}

/// Makes a token.
pub fn create(tx: &Tx<'_>, new: NewToken, audit: &NewAudit) -> Result<Token, StoreError> {
    let NewToken { name, scopes, hash } = new;
    let known = read(tx.db).map_err(|e| tx.error(e))?;
    if known.iter().any(|t| t.name == name) {
        return Err(StoreError::Conflict(format!("a token named \"{name}\" exists already")));
    }
    tx.db
        .execute(
            "INSERT INTO token(name, scopes, hash, created) VALUES(?1, ?2, ?3, ?4)",
            params![name, serde_json::to_string(&scopes).unwrap_or_default(), hash, tx.now.0],
        )
        .map_err(|e| tx.error(e))?;
    let id = tx.db.last_insert_rowid() as u32;
    write_audit(tx, audit)?;
    Ok(Token { id, name, scopes, hash, created: tx.now })
}

/// Makes a token in the place of the one of the same name.
pub fn put(tx: &Tx<'_>, new: NewToken, audit: &NewAudit) -> Result<Token, StoreError> {
    if meta(tx.db, &revoked_key(&new.hash)).map_err(|e| tx.error(e))?.is_some() {
        return Err(StoreError::Conflict("this token was revoked; it cannot be used again".to_owned()));
    }
    tx.db.execute("DELETE FROM token WHERE name = ?1", [&new.name]).map_err(|e| tx.error(e))?;
    create(tx, new, audit)
}

/// Ends a token for good.
pub fn revoke(tx: &Tx<'_>, id: u32, audit: &NewAudit) -> Result<(), StoreError> {
    let known = read(tx.db).map_err(|e| tx.error(e))?;
    let token = known.iter().find(|t| t.id == id).ok_or_else(|| StoreError::NotFound(format!("token {id}")))?;
    let is_admin = |token: &Token| token.scopes.contains(&Scope::Admin);
    if is_admin(token) && known.iter().filter(|t| is_admin(t)).count() == 1 {
        let text = "this is the last token with scope \"admin\"; create another one first";
        return Err(StoreError::Conflict(text.to_owned()));
    }
    set_meta(tx.db, &revoked_key(&token.hash), tx.now.0).map_err(|e| tx.error(e))?;
    tx.db.execute("DELETE FROM token WHERE id = ?1", [id]).map_err(|e| tx.error(e))?;
    write_audit(tx, audit)
}

fn revoked_key(hash: &[u8; 32]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("revoked_token_{hex}")
}
