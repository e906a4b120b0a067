//! The NetBox models events may be about, by every name NetBox has given them.

use std::collections::HashMap;
use std::sync::Arc;

use super::event::Model;

/// Every model of NetBox 4.4 that supports event rules, as app label and class names.
const BUILTIN: &[(&str, &str)] = &[
    (
        "circuits",
        "Circuit CircuitGroup CircuitGroupAssignment CircuitTermination CircuitType Provider ProviderAccount \
         ProviderNetwork VirtualCircuit VirtualCircuitTermination VirtualCircuitType",
    ),
    ("core", "DataSource"),
    (
        "dcim",
        "Cable CableTermination ConsolePort ConsolePortTemplate ConsoleServerPort ConsoleServerPortTemplate Device \
         DeviceBay DeviceBayTemplate DeviceRole DeviceType FrontPort FrontPortTemplate Interface InterfaceTemplate \
         InventoryItem InventoryItemRole InventoryItemTemplate Location MACAddress Manufacturer Module ModuleBay \
         ModuleBayTemplate ModuleType ModuleTypeProfile Platform PowerFeed PowerOutlet PowerOutletTemplate \
         PowerPanel PowerPort PowerPortTemplate Rack RackReservation RackRole RackType RearPort RearPortTemplate \
         Region Site SiteGroup VirtualChassis VirtualDeviceContext",
    ),
    (
        "extras",
        "ConfigContext ConfigContextProfile ConfigTemplate CustomField CustomFieldChoiceSet CustomLink EventRule \
         ExportTemplate ImageAttachment JournalEntry NotificationGroup SavedFilter Script TableConfig Tag Webhook",
    ),
    (
        "ipam",
        "Aggregate ASN ASNRange FHRPGroup FHRPGroupAssignment IPAddress IPRange Prefix RIR Role RouteTarget \
         Service ServiceTemplate VLAN VLANGroup VLANTranslationPolicy VLANTranslationRule VRF",
    ),
    ("tenancy", "Contact ContactAssignment ContactGroup ContactRole Tenant TenantGroup"),
    ("virtualization", "Cluster ClusterGroup ClusterType VirtualDisk VirtualMachine VMInterface"),
    (
        "vpn",
        "IKEPolicy IKEProposal IPSecPolicy IPSecProfile IPSecProposal L2VPN L2VPNTermination Tunnel TunnelGroup \
         TunnelTermination",
    ),
    ("wireless", "WirelessLAN WirelessLANGroup WirelessLink"),
];

/// What NetBox has renamed or dropped since 2.4, still sent by old releases: `RackGroup` is `Location` since 2.11, when
/// secrets left too.
const OLD_NAMES: &[(&str, &str)] = &[("dcim", "RackGroup"), ("secrets", "Secret")];

/// The class of a model of NetBox's own, by its label.
pub fn netbox_class(label: &str) -> Option<&'static str> {
    let (app, name) = label.split_once('.')?;
    let (_, classes) = BUILTIN.iter().find(|(known, _)| *known == app)?;
    classes.split_whitespace().find(|class| class.eq_ignore_ascii_case(name))
}

/// Longest name that is looked up; NetBox's own fields hold 100 for each of app label and model.
const MAX_NAME: usize = 201;

/// Why a name stands for no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    #[error(
        "\"{0}\" is not a known model; give one like \"dcim.site\" or \"Site\", or add a plugin's to webhooks.models \
         in class spelling, like \"my_plugin.MyModel\""
    )]
    Unknown(String),
    #[error("\"{name}\" is the name of several models; say which: {}", .labels.join(" or "))]
    Ambiguous { name: String, labels: Vec<String> },
    #[error("\"{0}\" is not a model; write app label and class name, like \"my_plugin.MyModel\"")]
    Malformed(String),
}

/// The known models. Lookups share the names they return.
#[derive(Clone, Debug)]
pub struct Models {
    /// By lower-case label.
    by_label: HashMap<Box<str>, Model>,
    /// By lower-case class name; several where apps share it.
    by_name: HashMap<Box<str>, Vec<Model>>,
}

impl Models {
    /// NetBox's own models.
    pub fn builtin() -> Self {
        let mut models = Self { by_label: HashMap::new(), by_name: HashMap::new() };
        for (app, classes) in BUILTIN.iter().chain(OLD_NAMES) {
            for class in classes.split_whitespace() {
                models.add(model(app, class));
            }
        }
        models
    }

    /// NetBox's own models and those of `webhooks.models`, each in class spelling (`my_plugin.MyModel`). One spelled in
    /// lower case is given its name capitalised as class.
    ///
    /// # Errors
    /// The first entry that is not an app label and a class name, see [`parse_extra`].
    pub fn with_extra(extra: &[String]) -> Result<Self, ModelError> {
        let mut models = Self::builtin();
        for entry in extra {
            models.add(parse_extra(entry)?);
        }
        Ok(models)
    }

    /// The model of a class name (`Site`), lower-case name (`site`) or label (`dcim.site`, `dcim.Site`).
    ///
    /// # Errors
    /// No known model has the name, or several have it.
    pub fn resolve(&self, name: &str) -> Result<Model, ModelError> {
        if name.len() > MAX_NAME {
            return Err(ModelError::Unknown(name.chars().take(MAX_NAME).collect()));
        }
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.find(&name.to_ascii_lowercase(), name);
        }
        self.find(name, name)
    }

    fn find(&self, lower: &str, name: &str) -> Result<Model, ModelError> {
        if let Some(model) = self.by_label.get(lower) {
            return Ok(model.clone());
        }
        match self.by_name.get(lower).map(Vec::as_slice) {
            Some([model]) => Ok(model.clone()),
            Some(several) => Err(ModelError::Ambiguous {
                name: name.to_owned(),
                labels: several.iter().map(|m| m.label.to_string()).collect(),
            }),
            None => Err(ModelError::Unknown(name.to_owned())),
        }
    }

    /// A repeated label replaces the spelling of its class.
    fn add(&mut self, model: Model) {
        let short = model.class.to_ascii_lowercase().into_boxed_str();
        let same_name = self.by_name.entry(short).or_default();
        same_name.retain(|m| m.label != model.label);
        same_name.push(model.clone());
        self.by_label.insert(model.label.to_ascii_lowercase().into(), model);
    }
}

/// An entry of `webhooks.models`.
///
/// # Errors
/// Anything but two Python identifiers with a dot between them.
pub fn parse_extra(entry: &str) -> Result<Model, ModelError> {
    let malformed = || ModelError::Malformed(entry.chars().take(MAX_NAME).collect());
    let (app, class) = entry.trim().split_once('.').ok_or_else(malformed)?;
    if entry.len() > MAX_NAME || !identifier(app) || !identifier(class) {
        return Err(malformed());
    }
    if class.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(model(app, class));
    }
    let mut capitalised = class.to_owned();
    capitalised[..1].make_ascii_uppercase();
    Ok(model(app, &capitalised))
}

fn identifier(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn model(app: &str, class: &str) -> Model {
    Model { label: Arc::from(format!("{app}.{}", class.to_ascii_lowercase())), class: class.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_names_the_same_model() {
        let models = Models::builtin();
        for name in ["Site", "site", "dcim.site", "dcim.Site"] {
            let found = models.resolve(name).expect(name);
            assert_eq!((&*found.label, &*found.class), ("dcim.site", "Site"), "{name}");
        }
    }

    #[test]
    fn the_first_nineteen_and_old_names_are_known() {
        let models = Models::builtin();
        let first = "Site Rack RackGroup Device Interface VRF IPAddress Prefix Aggregate VLAN VLANGroup Service Tenant \
                     TenantGroup Circuit Provider Cluster ClusterGroup VirtualMachine Secret";
        for class in first.split_whitespace() {
            let found = models.resolve(class).expect(class);
            assert_eq!(&*found.class, class);
            assert_eq!(models.resolve(&class.to_lowercase()), Ok(found));
        }
        assert_eq!(models.by_label.len(), 117);
    }

    #[test]
    fn plugin_models_are_added_in_their_own_spelling() {
        let extra = ["my_plugin.MyModel".to_owned(), "my_plugin.other".to_owned()];
        let models = Models::with_extra(&extra).expect("valid entries");
        assert_eq!(&*models.resolve("my_plugin.mymodel").expect("added").class, "MyModel");
        assert_eq!(&*models.resolve("other").expect("added").class, "Other");
    }

    #[test]
    fn a_name_that_several_models_share_needs_its_app() {
        let models = Models::with_extra(&["my_plugin.Site".to_owned()]).expect("a valid entry");
        let error = models.resolve("Site").expect_err("two models");
        assert_eq!(error.to_string(), "\"Site\" is the name of several models; say which: dcim.site or my_plugin.site");
        assert_eq!(&*models.resolve("dcim.site").expect("unambiguous").label, "dcim.site");
    }

    #[test]
    fn a_repeated_entry_is_still_one_model() {
        let models = Models::with_extra(&["dcim.Site".to_owned()]).expect("a valid entry");
        assert!(models.resolve("Site").is_ok());
    }

    #[test]
    fn an_unknown_model_says_how_to_add_it() {
        let error = Models::builtin().resolve("my_plugin.thing").expect_err("unknown");
        assert!(error.to_string().contains("webhooks.models"), "{error}");
    }

    #[test]
    fn what_is_no_model_is_refused() {
        for bad in ["", "MyModel", "a.b.c", ".x", "x.", "1a.b", "a-b.C", "a. b"] {
            assert!(parse_extra(bad).is_err(), "{bad}");
        }
    }
}
