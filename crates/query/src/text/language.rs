//! Languages and their stemmers.
//!
//! Stems are Snowball's. Dutch is the older algorithm, after Porter, which is what the field's servers stem with.
//! Chinese has no stems.

use frostem::Algorithm;

/// Words shorter than this, in bytes, are left as they are (`MINSTEMLEN`).
pub const STEM_BYTES_MIN: usize = 4;

macro_rules! languages {
    ($($variant:ident $name:literal $algorithm:expr;)*) => {
        /// A language that texts can be in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub enum Language {
            $(#[doc = $name] $variant,)*
            /// english
            #[default]
            English,
            /// chinese
            Chinese,
        }

        const NAMES: &[(&str, Language)] =
            &[("english", Language::English), ("chinese", Language::Chinese), $(($name, Language::$variant),)*];

        impl Language {
            fn algorithm(self) -> Option<Algorithm> {
                match self {
                    $(Self::$variant => Some($algorithm),)*
                    Self::English => Some(Algorithm::English),
                    Self::Chinese => None,
                }
            }
        }
    };
}

languages! {
    Arabic "arabic" Algorithm::Arabic;
    Armenian "armenian" Algorithm::Armenian;
    Basque "basque" Algorithm::Basque;
    Catalan "catalan" Algorithm::Catalan;
    Danish "danish" Algorithm::Danish;
    Dutch "dutch" Algorithm::DutchPorter;
    Finnish "finnish" Algorithm::Finnish;
    French "french" Algorithm::French;
    German "german" Algorithm::German;
    Greek "greek" Algorithm::Greek;
    Hindi "hindi" Algorithm::Hindi;
    Hungarian "hungarian" Algorithm::Hungarian;
    Indonesian "indonesian" Algorithm::Indonesian;
    Irish "irish" Algorithm::Irish;
    Italian "italian" Algorithm::Italian;
    Lithuanian "lithuanian" Algorithm::Lithuanian;
    Nepali "nepali" Algorithm::Nepali;
    Norwegian "norwegian" Algorithm::Norwegian;
    Portuguese "portuguese" Algorithm::Portuguese;
    Romanian "romanian" Algorithm::Romanian;
    Russian "russian" Algorithm::Russian;
    Serbian "serbian" Algorithm::Serbian;
    Spanish "spanish" Algorithm::Spanish;
    Swedish "swedish" Algorithm::Swedish;
    Tamil "tamil" Algorithm::Tamil;
    Turkish "turkish" Algorithm::Turkish;
    Yiddish "yiddish" Algorithm::Yiddish;
}

impl Language {
    /// The language of this name, whatever its case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|&(_, language)| language)
    }

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, language)| *language == self).expect("every language has a name").0
    }
}

/// What finds the stem of a word.
#[derive(Clone)]
pub struct Stemmer(Option<frostem::Stemmer>);

impl Stemmer {
    /// For words of `language`.
    pub fn new(language: Language) -> Self {
        Self(language.algorithm().map(frostem::Stemmer::new))
    }

    /// Whether the language has stems.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The stem of a folded word; `None` where that is the word itself.
    pub fn stem(&self, word: &str) -> Option<String> {
        if word.len() < STEM_BYTES_MIN {
            return None;
        }
        let stem = self.0.as_ref()?.stem(word);
        (!stem.is_empty() && stem != word).then(|| stem.into())
    }
}

impl std::fmt::Debug for Stemmer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stemmer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_case() {
        for &(name, language) in NAMES {
            assert_eq!(Language::parse(name.to_uppercase().as_bytes()), Some(language));
            assert_eq!(language.name(), name);
        }
        assert_eq!(Language::parse(b"klingon"), None);
    }

    #[test]
    fn words_of_one_stem_meet() {
        let english = Stemmer::new(Language::English);
        assert_eq!(english.stem("hiring").as_deref(), Some("hire"));
        assert_eq!(english.stem("hire"), None);
        assert_eq!(english.stem("dogs").as_deref(), Some("dog"));
        assert_eq!(english.stem("its"), None, "too short to stem");
        assert_eq!(Stemmer::new(Language::German).stem("häuser").as_deref(), Some("haus"));
        assert_eq!(Stemmer::new(Language::Chinese).stem("redises"), None);
    }
}
