//! Access control: who may run which commands on which keys and channels
//! (<https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>).
//!
//! A [`User`] is shared by the sessions that speak for it. Its rules are replaced as a whole, so a check never sees half
//! of a change and a change counts from the next command on. A user that may do everything answers from one flag: the
//! check of such a client, which is nearly every client, costs one branch.
//!
//! - `selector.rs`, `rules.rs`: what rules mean; they know nothing of connections.
//! - `check.rs`: a request held against the rules.
//! - `log.rs`: what was refused.
//! - `lines.rs`: users as lines of a file.

pub mod check;
pub mod lines;
pub mod log;
mod ordered;
pub mod rules;
pub mod selector;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

pub use rules::{RuleError, Rules, merge_parentheses};
pub use selector::Selector;

use crate::acl::log::Log;

/// The name of the user that connections begin as.
pub const DEFAULT: &[u8] = b"default";

/// Somebody commands are run for.
#[derive(Debug)]
pub struct User {
    name: Box<[u8]>,
    unrestricted: AtomicBool,
    rules: RwLock<Arc<Rules>>,
}

impl User {
    /// A user with these rules.
    pub fn new(name: &[u8], rules: Rules) -> Arc<Self> {
        let unrestricted = AtomicBool::new(rules.is_unrestricted());
        Arc::new(Self { name: name.into(), unrestricted, rules: RwLock::new(Arc::new(rules)) })
    }

    /// A default user nobody can restrict: for sessions that belong to no server's list of users.
    pub fn anyone() -> Arc<Self> {
        static ANYONE: OnceLock<Arc<User>> = OnceLock::new();
        Arc::clone(ANYONE.get_or_init(|| Self::new(DEFAULT, Rules::everything())))
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The name as text.
    pub fn shown_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Whether there is nothing to check.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted.load(Relaxed)
    }

    /// The rules in effect.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    fn replace(&self, rules: Rules) {
        // Never unrestricted under rules that are not.
        self.unrestricted.store(false, Relaxed);
        let unrestricted = rules.is_unrestricted();
        let mut held = self.rules.write();
        *held = Arc::new(rules);
        self.unrestricted.store(unrestricted, Relaxed);
    }
}

/// The users of a server.
#[derive(Debug)]
pub struct Users {
    by_name: RwLock<BTreeMap<Box<[u8]>, Arc<User>>>,
    default: Arc<User>,
    /// Held while users change, so that two changes of one user do not lose each other.
    changing: Mutex<()>,
    /// What was refused.
    pub log: Mutex<Log>,
    /// How often, by reason.
    pub denied: log::Counts,
}

impl Default for Users {
    fn default() -> Self {
        let default = User::new(DEFAULT, Rules::everything());
        Self {
            by_name: RwLock::new(BTreeMap::from([(DEFAULT.into(), Arc::clone(&default))])),
            default,
            changing: Mutex::default(),
            log: Mutex::default(),
            denied: log::Counts::default(),
        }
    }
}

impl Users {
    /// The user that connections begin as.
    pub fn default_user(&self) -> Arc<User> {
        Arc::clone(&self.default)
    }

    /// Whether a connection may act as the default user without a word.
    pub fn is_open(&self) -> bool {
        let rules = self.default.rules();
        rules.enabled && rules.nopass
    }

    /// Finds a user.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name.read().get(name).cloned()
    }

    /// Every user, by name.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.by_name.read().values().cloned().collect()
    }

    /// The user a name and password belong to.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        self.get(name).filter(|user| user.rules().accepts(password))
    }

    /// Applies rules to a user, who is made when there is none; all or none of them.
    ///
    /// # Errors
    /// Which rule is wrong, and how.
    pub fn set<W: AsRef<[u8]>>(&self, name: &[u8], rules: &[W], all_channels: bool) -> Result<(), (usize, RuleError)> {
        let _changing = self.changing.lock();
        let known = self.get(name);
        let mut changed = known.as_ref().map_or_else(|| Rules::new(all_channels), |user| (*user.rules()).clone());
        for (at, rule) in rules.iter().enumerate() {
            changed.apply(rule.as_ref(), all_channels).map_err(|error| (at, error))?;
        }
        match known {
            Some(user) => user.replace(changed),
            None => {
                self.by_name.write().insert(name.into(), User::new(name, changed));
            }
        }
        Ok(())
    }

    /// Gives a user these rules, whatever it had.
    pub fn put(&self, name: &[u8], rules: Rules) {
        let _changing = self.changing.lock();
        match self.get(name) {
            Some(user) => user.replace(rules),
            None => {
                self.by_name.write().insert(name.into(), User::new(name, rules));
            }
        }
    }

    /// What the parameter `requirepass` stands for: the only password of the default user, or none needed.
    pub fn set_default_password(&self, password: &str) {
        let rule = if password.is_empty() { "nopass".to_owned() } else { format!(">{password}") };
        let set = self.set(DEFAULT, &["resetpass", rule.as_str()], true);
        debug_assert!(set.is_ok(), "both rules apply to any user");
    }

    /// Removes a user; gives it, so that its sessions can be ended. They may do nothing from now on.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<User>> {
        let _changing = self.changing.lock();
        if name == DEFAULT {
            return None;
        }
        let removed = self.by_name.write().remove(name)?;
        removed.replace(Rules::new(false));
        Some(removed)
    }

    /// Puts other users in the place of all there are; those not among them are given back. A default user that is not
    /// among them is as the server starts.
    pub fn replace_all(&self, mut users: BTreeMap<Box<[u8]>, Rules>) -> Vec<Arc<User>> {
        let _changing = self.changing.lock();
        users.entry(DEFAULT.into()).or_insert_with(Rules::everything);
        let mut by_name = self.by_name.write();
        let mut old = std::mem::take(&mut *by_name);
        for (name, rules) in users {
            // The same user goes on under other rules, so its sessions follow.
            let user = match old.remove(&name) {
                Some(user) => {
                    user.replace(rules);
                    user
                }
                None => User::new(&name, rules),
            };
            by_name.insert(name, user);
        }
        let gone: Vec<Arc<User>> = old.into_values().collect();
        gone.iter().for_each(|user| user.replace(Rules::new(false)));
        gone
    }
}
