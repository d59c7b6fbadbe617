//! Plans that were made lately, so that containers of one configuration are planned once.

use super::{Request, common, complete};
use crate::oci::ValidConfig;
use crate::policy::Policy;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bailiwick_kernel_glue::plan::{Features, Plan};
use bailiwick_protocol::error::Refusal;
use bailiwick_protocol::message::Stdio;
use core::fmt;

/// Most plans that are kept. Each is about as long as its configuration, which is one of those that are kept.
const KEPT_MAX: usize = 8;

/// What a plan follows from, and what is the same in every plan that follows from it.
struct Known {
    config: Arc<ValidConfig>,
    policy: Arc<Policy>,
    features: Features,
    stdio: Stdio,
    /// As it was for the container that was planned last.
    plan: Arc<Plan>,
}

/// A few plans.
#[derive(Clone, Default)]
pub(crate) struct KnownPlans {
    /// The one used last stands last. Copies of a server share them.
    kept: Vec<Arc<Known>>,
}

impl fmt::Debug for KnownPlans {
    /// Says nothing: whether a plan is made once more or not makes no difference to anybody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownPlans")
    }
}

impl KnownPlans {
    /// The plan of a container, as [`super::plan`] makes it. It is lent: what is a container's own is written into the plan
    /// of the container before, which is copied only if somebody still has that.
    ///
    /// # Errors
    /// As [`super::plan`].
    pub(crate) fn plan(
        &mut self,
        config: &Arc<ValidConfig>,
        features: &Features,
        policy: &Arc<Policy>,
        request: &Request<'_>,
    ) -> Result<Arc<Plan>, Refusal> {
        let is_it = |known: &Arc<Known>| {
            Arc::ptr_eq(&known.config, config)
                && Arc::ptr_eq(&known.policy, policy)
                && known.stdio == request.stdio
                && known.features == *features
        };
        if let Some(at) = self.kept.iter().rposition(is_it) {
            self.kept.get_mut(at..).unwrap_or_default().rotate_left(1);
            if let Some(known) = self.kept.last_mut() {
                // As long as somebody has it, it stays as it is, and the container gets a copy.
                let alone = Arc::get_mut(known).and_then(|known| Arc::get_mut(&mut known.plan));
                let Some(plan) = alone else {
                    let mut plan = Plan::clone(&known.plan);
                    complete(&mut plan, config, request);
                    return Ok(Arc::new(plan));
                };
                complete(plan, config, request);
                return Ok(known.plan.clone());
            }
        }
        self.make(config, features, policy, request)
    }

    fn make(
        &mut self,
        config: &Arc<ValidConfig>,
        features: &Features,
        policy: &Arc<Policy>,
        request: &Request<'_>,
    ) -> Result<Arc<Plan>, Refusal> {
        let mut plan = common(config, features, policy, request.stdio)?;
        complete(&mut plan, config, request);
        plan.create.shrink_to_fit();
        let plan = Arc::new(plan);
        // A configuration that nobody else keeps is too long to be kept, or will not be seen again.
        if Arc::strong_count(config) > 1 {
            if self.kept.len() == KEPT_MAX {
                self.kept.remove(0);
            }
            let (config, policy, features) = (config.clone(), policy.clone(), *features);
            let stdio = request.stdio;
            self.kept.push(Arc::new(Known { config, policy, features, stdio, plan: plan.clone() }));
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bailiwick_kernel_glue::own_kernel::FEATURES;

    fn config_of(program: &str) -> Arc<ValidConfig> {
        let text = r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"},
            "process":{"cwd":"/","args":["PROGRAM"],"user":{"uid":0,"gid":0}},
            "linux":{"namespaces":[{"type":"mount"}]}}"#;
        Arc::new(ValidConfig::parse(&text.replace("PROGRAM", program)).unwrap())
    }
    fn config() -> Arc<ValidConfig> {
        config_of("/bin/true")
    }
    fn request(id: &str) -> Request<'_> {
        Request { id, bundle: id, group: id, stdio: Stdio::Log }
    }

    #[test]
    fn a_known_plan_is_the_one_that_would_be_made_anew() {
        let (mut known, policy) = (KnownPlans::default(), Arc::new(Policy::default()));
        let configs = [config(), config_of("/bin/false")];
        let _kept = configs.clone();
        for (id, at) in [("a", 0), ("b", 0), ("a", 1), ("c", 0), ("a", 0), ("d", 1)] {
            let plan = known.plan(&configs[at], &FEATURES, &policy, &request(id)).unwrap();
            assert_eq!(*plan, crate::plan::plan(&configs[at], &FEATURES, &policy, &request(id)).unwrap());
        }
        assert_eq!(known.kept.len(), 2);
    }

    #[test]
    fn a_plan_that_is_lent_stays_as_it_is_when_the_next_is_made() {
        let (mut known, config, policy) = (KnownPlans::default(), config(), Arc::new(Policy::default()));
        let _kept = config.clone();
        let mut plan = |id| known.plan(&config, &FEATURES, &policy, &request(id)).unwrap();
        let (first, second) = (plan("a"), plan("b"));
        assert_eq!((first.state.id.as_str(), second.state.id.as_str()), ("a", "b"));
        let place = Arc::as_ptr(&first);
        drop((first, second));
        assert_eq!(
            Arc::as_ptr(&plan("c")),
            place,
            "one that nobody has any more is written into, not copied"
        );
    }

    #[test]
    fn what_a_plan_follows_from_is_all_compared() {
        let (mut known, config, policy) = (KnownPlans::default(), config(), Arc::new(Policy::default()));
        let _kept = config.clone();
        known.plan(&config, &FEATURES, &policy, &request("a")).unwrap();
        let other = config_of("/bin/false");
        let expected = crate::plan::plan(&other, &FEATURES, &policy, &request("a"));
        assert_eq!(
            known.plan(&other, &FEATURES, &policy, &request("a")).map(|plan| (*plan).clone()),
            expected
        );
        let strict = Arc::new(Policy::parse("").unwrap());
        let expected = crate::plan::plan(&config, &FEATURES, &strict, &request("a"));
        assert_eq!(
            known.plan(&config, &FEATURES, &strict, &request("a")).map(|plan| (*plan).clone()),
            expected
        );
        let nothing = Features { file_systems: &[], namespaces: &[], ..FEATURES };
        assert!(known.plan(&config, &nothing, &policy, &request("a")).is_err());
        let console = Request { stdio: Stdio::Console, ..request("a") };
        assert_eq!(known.plan(&config, &FEATURES, &policy, &console).unwrap().stdio, Stdio::Console);
    }

    #[test]
    fn the_few_that_were_used_last_are_kept_and_none_of_a_configuration_that_is_not() {
        let (mut known, policy) = (KnownPlans::default(), Arc::new(Policy::default()));
        known.plan(&config(), &FEATURES, &policy, &request("a")).unwrap();
        assert!(known.kept.is_empty());
        let configs: Vec<_> = (0..2 * KEPT_MAX).map(|_| config()).collect();
        let used = configs.iter().chain(&configs[KEPT_MAX..=KEPT_MAX]).chain(&configs[..1]);
        for config in used {
            known.plan(&config.clone(), &FEATURES, &policy, &request("a")).unwrap();
        }
        let expected =
            configs[KEPT_MAX + 2..].iter().chain(&configs[KEPT_MAX..=KEPT_MAX]).chain(&configs[..1]);
        assert!(known.kept.iter().map(|known| Arc::as_ptr(&known.config)).eq(expected.map(Arc::as_ptr)));
    }
}
