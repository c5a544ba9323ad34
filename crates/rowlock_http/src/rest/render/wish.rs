//! How an image is to be changed: as a query, a request for a signed URL or such a URL's token
//! says it, and as an answer tells it.

use rowlock_storage::images::{Format, Gravity, Options, Resize, Wanted};

use crate::rest::ImageSides;
use crate::rest::error::RestError;
use crate::rest::json::{Fields, wrong};
use crate::rest::query::Query;

/// The values of `resize`: what it means, and what the reference calls that in its answers.
const RESIZES: [(&str, (Resize, &str)); 3] = [
    ("cover", (Resize::Cover, "fill")),
    ("contain", (Resize::Contain, "fit")),
    ("fill", (Resize::Fill, "force")),
];
const FORMATS: [(&str, &str); 3] = [("origin", "origin"), ("avif", "avif"), ("webp", "webp")];
const GRAVITIES: [(&str, &str); 11] = [
    ("no", "no"),
    ("so", "so"),
    ("ea", "ea"),
    ("we", "we"),
    ("noea", "noea"),
    ("nowe", "nowe"),
    ("soea", "soea"),
    ("sowe", "sowe"),
    ("ce", "ce"),
    ("sm", "sm"),
    ("fp", "fp"),
];
/// The values that `quality` may have.
const QUALITIES: std::ops::RangeInclusive<i64> = 20..=100;

/// A side as it will be; 0 is none.
fn side(asked: i64, sides: ImageSides) -> Option<u32> {
    let most = sides.most.max(sides.least);
    (asked != 0).then(|| {
        let side = asked.clamp(i64::from(sides.least), i64::from(most));
        u32::try_from(side).unwrap_or(most)
    })
}

/// What is wished for. Every member has been checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::rest) struct Wish {
    width: Option<u32>,
    height: Option<u32>,
    resize: Option<&'static str>,
    quality: Option<u8>,
    format: Option<&'static str>,
    gravity: Option<&'static str>,
    x: Option<f32>,
    y: Option<f32>,
}

impl Wish {
    /// Reads a query. Names that it has beside are none of ours.
    ///
    /// # Errors
    /// InvalidRequest, InvalidParameter.
    pub(super) fn of_query(query: &Query, sides: ImageSides) -> Result<Self, RestError> {
        let side = |name| {
            let asked = query.integer(name, 0)?;
            Ok::<_, RestError>(asked.and_then(|asked| side(asked, sides)))
        };
        let quality = query.integer("quality", *QUALITIES.start())?;
        if quality.is_some_and(|quality| quality > *QUALITIES.end()) {
            return Err(RestError::invalid("querystring/quality must be <= 100"));
        }
        Self {
            width: side("width")?,
            height: side("height")?,
            resize: query.one_of("resize", &RESIZES.map(|(name, _)| (name, name)))?,
            quality: quality.and_then(|quality| u8::try_from(quality).ok()),
            format: query.one_of("format", &FORMATS)?,
            gravity: query.one_of("gravity", &GRAVITIES)?,
            x: query.number("x_offset")?,
            y: query.number("y_offset")?,
        }
        .checked()
    }

    /// Reads `transform` of a request for a signed URL: each member has its own meaning, and no
    /// other gets into a token.
    ///
    /// # Errors
    /// InvalidRequest, InvalidParameter.
    pub(in crate::rest) fn of_fields(
        fields: &Fields,
        sides: ImageSides,
    ) -> Result<Self, RestError> {
        let Some(fields) = fields.object("transform")? else { return Ok(Self::default()) };
        let side = |name| {
            let asked = fields.at_least(name, 0)?;
            Ok::<_, RestError>(asked.and_then(|asked| side(asked, sides)))
        };
        let quality = fields.at_least("quality", *QUALITIES.start())?;
        if quality.is_some_and(|quality| quality > *QUALITIES.end()) {
            return Err(wrong("transform/quality", "<= 100"));
        }
        Self {
            width: side("width")?,
            height: side("height")?,
            resize: fields.one_of("resize", &RESIZES.map(|(name, _)| (name, name)))?,
            quality: quality.and_then(|quality| u8::try_from(quality).ok()),
            format: fields.one_of("format", &FORMATS)?,
            gravity: fields.one_of("gravity", &GRAVITIES)?,
            x: fields.number("x_offset")?,
            y: fields.number("y_offset")?,
        }
        .checked()
    }

    /// Reads what a signed URL's token says. The token is one of our own or of the reference, and
    /// what it holds beside counts as not said.
    pub(super) fn of_token(list: &str, format: Option<&str>, sides: ImageSides) -> Self {
        fn one_of(value: &str, allowed: &[(&'static str, &'static str)]) -> Option<&'static str> {
            allowed.iter().find(|(name, _)| *name == value).map(|(name, _)| *name)
        }
        let mut wish = Self::default();
        for part in list.split(',') {
            let mut words = part.split(':');
            let (name, value) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            let number = value.parse::<i64>().ok().filter(|number| *number >= 0);
            let mut offset = || words.next()?.parse::<f32>().ok().filter(|at| at.is_finite());
            match name {
                "width" => wish.width = number.and_then(|number| side(number, sides)),
                "height" => wish.height = number.and_then(|number| side(number, sides)),
                "resize" => wish.resize = one_of(value, &RESIZES.map(|(name, _)| (name, name))),
                "quality" => {
                    let within = number.filter(|number| QUALITIES.contains(number));
                    wish.quality = within.and_then(|number| u8::try_from(number).ok());
                }
                "format" => wish.format = one_of(value, &FORMATS),
                "gravity" => {
                    wish.gravity = one_of(value, &GRAVITIES);
                    (wish.x, wish.y) = (offset(), offset());
                }
                _ => {}
            }
        }
        wish.format = wish.format.or_else(|| format.and_then(|format| one_of(format, &FORMATS)));
        wish.checked().unwrap_or_default()
    }

    /// A focus point is one inside the image.
    fn checked(self) -> Result<Self, RestError> {
        let inside = |at: Option<f32>| at.is_some_and(|at| (0.0..=1.0).contains(&at));
        if self.gravity == Some("fp") && !(inside(self.x) && inside(self.y)) {
            return Err(RestError::new(
                400,
                "InvalidParameter",
                "gravity fp takes an x_offset and a y_offset from 0 to 1",
            ));
        }
        Ok(self)
    }

    /// The format that is asked for.
    pub(in crate::rest) fn format(&self) -> Option<&'static str> {
        self.format
    }

    /// Whether the answer's format follows what the client accepts.
    pub(super) fn follows_accept(&self) -> bool {
        self.format.is_none()
    }

    /// The comma list that a signed URL's token holds; nothing where the image stays as it is.
    pub(in crate::rest) fn of_a_token(&self) -> Option<String> {
        let list = self.list(|resize| format!("resize:{resize}"));
        (!list.is_empty()).then_some(list)
    }

    /// The comma list that an answer tells.
    pub(super) fn told(&self) -> String {
        self.list(|resize| {
            let found = RESIZES.iter().find(|(name, _)| *name == resize);
            format!("resizing_type:{}", found.map_or("fill", |(_, (_, told))| told))
        })
    }

    fn list(&self, resize: impl Fn(&str) -> String) -> String {
        let mut list = Vec::new();
        list.extend(self.height.map(|side| format!("height:{side}")));
        list.extend(self.width.map(|side| format!("width:{side}")));
        if !list.is_empty() {
            list.push(resize(self.resize.unwrap_or("cover")));
        }
        list.extend(self.quality.map(|quality| format!("quality:{quality}")));
        list.extend(
            self.format.filter(|format| *format != "origin").map(|to| format!("format:{to}")),
        );
        list.extend(self.gravity.map(|gravity| match (self.x, self.y) {
            _ if gravity == "sm" => "gravity:sm".to_owned(),
            (None, None) => format!("gravity:{gravity}"),
            (x, y) => format!("gravity:{gravity}:{}:{}", x.unwrap_or(0.0), y.unwrap_or(0.0)),
        }));
        list.join(",")
    }

    /// The same for whoever renders; `webp` tells whether the client takes WebP.
    pub(super) fn options(&self, webp: bool) -> Options {
        let found = RESIZES.iter().find(|(name, _)| Some(*name) == self.resize);
        let (x, y) = (self.x.unwrap_or(0.0), self.y.unwrap_or(0.0));
        let gravity = self.gravity.and_then(|name| Gravity::named(name, x, y));
        // A focus point's are its own.
        let moved = !matches!(self.gravity, None | Some("fp" | "sm"));
        Options {
            width: self.width,
            height: self.height,
            resize: found.map_or(Resize::Cover, |(_, (resize, _))| *resize),
            gravity: gravity.unwrap_or_default(),
            offset_x: if moved { x } else { 0.0 },
            offset_y: if moved { y } else { 0.0 },
            quality: self.quality,
            format: match self.format {
                Some("webp") => Wanted::As(Format::WebP),
                Some("avif") => Wanted::As(Format::Avif),
                Some(_) => Wanted::Origin,
                None => Wanted::Auto { webp },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SIDES: ImageSides = ImageSides { least: 1, most: 2000 };

    fn query(text: &str) -> Result<Wish, RestError> {
        Wish::of_query(&Query::parse(text)?, SIDES)
    }

    fn fields(transform: Value) -> Result<Wish, RestError> {
        Wish::of_fields(&Fields::of(json!({ "transform": transform })), SIDES)
    }

    #[test]
    fn queries() {
        let all = "width=5000&height=0&resize=contain&quality=20&format=webp&token=x&width=1";
        let wish = query(all).unwrap();
        assert_eq!(wish.told(), "width:2000,resizing_type:fit,quality:20,format:webp");
        let options = wish.options(true);
        assert_eq!((options.width, options.height), (Some(2000), None));
        assert_eq!(options.resize, Resize::Contain);
        assert_eq!(options.format, Wanted::As(Format::WebP));
        let none = query("").unwrap();
        assert_eq!((none.told().as_str(), none.of_a_token()), ("", None));
        assert_eq!(
            none.options(true),
            Options { format: Wanted::Auto { webp: true }, ..Options::default() }
        );
        assert!(none.follows_accept() && !query("format=origin").unwrap().follows_accept());
        let moved = query("gravity=no&x_offset=12&y_offset=-4.5&width=9&resize=fill").unwrap();
        assert_eq!(moved.told(), "width:9,resizing_type:force,gravity:no:12:-4.5");
        let options = moved.options(false);
        assert_eq!(
            (options.gravity, options.offset_x, options.offset_y),
            (Gravity::North, 12.0, -4.5)
        );
        let point = query("gravity=fp&x_offset=0.25&y_offset=1").unwrap().options(false);
        assert_eq!(point.gravity, Gravity::FocusPoint { x: 0.25, y: 1.0 });
        assert_eq!((point.offset_x, point.offset_y), (0.0, 0.0));
    }

    #[test]
    fn queries_that_are_refused() {
        for (text, wanted) in [
            ("width=-1", "querystring/width must be >= 0"),
            ("height=1.5", "querystring/height must be integer"),
            ("height=", "querystring/height must be integer"),
            ("quality=5", "querystring/quality must be >= 20"),
            ("quality=101", "querystring/quality must be <= 100"),
            ("resize=stretch", "querystring/resize must be equal to one of the allowed values"),
            ("format=jpg", "querystring/format must be equal to one of the allowed values"),
            ("gravity=up", "querystring/gravity must be equal to one of the allowed values"),
            ("x_offset=left", "querystring/x_offset must be number"),
            ("y_offset=NaN", "querystring/y_offset must be number"),
            (
                "gravity=fp&x_offset=2&y_offset=0",
                "gravity fp takes an x_offset and a y_offset from 0 to 1",
            ),
            ("gravity=fp&x_offset=1", "gravity fp takes an x_offset and a y_offset from 0 to 1"),
        ] {
            assert_eq!(query(text).unwrap_err().to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_signed_is_what_is_rendered() {
        for transform in [
            json!({"width": 100, "height": 9000, "resize": "contain", "quality": 50}),
            json!({"width": 1}),
            json!({"quality": 20, "format": "avif"}),
            json!({"width": 1, "gravity": "fp", "x_offset": 0.5, "y_offset": 0.75}),
            json!({"width": 1, "gravity": "sowe"}),
            json!({"width": 1, "format": "origin"}),
        ] {
            let wish = fields(transform.clone()).unwrap();
            let list = wish.of_a_token().unwrap();
            let read = Wish::of_token(&list, wish.format(), SIDES);
            assert_eq!(read.options(false), wish.options(false), "{transform}: {list}");
        }
        let list = |transform| fields(transform).unwrap().of_a_token();
        let both = json!({"width": 100, "height": 9000, "resize": "contain", "quality": 50});
        assert_eq!(list(both).as_deref(), Some("height:2000,width:100,resize:contain,quality:50"));
        assert_eq!(list(json!({"width": 1})).as_deref(), Some("width:1,resize:cover"));
        assert_eq!(list(json!({"format": "webp"})).as_deref(), Some("format:webp"));
        for nothing in [json!({}), Value::Null, json!({"format": "origin"}), json!({"width": 0})] {
            assert_eq!(list(nothing), None);
        }
    }

    #[test]
    fn nothing_else_gets_into_a_token() {
        let odd = json!({"width": 1, "role": "service_role", "upsert": true, "owner": "x"});
        assert_eq!(fields(odd).unwrap(), fields(json!({"width": 1})).unwrap());
        for bad in [
            json!({"resize": "cover,role:x"}),
            json!({"format": "exe"}),
            json!({"gravity": "no:1,role:x"}),
            json!({"x_offset": "1,role:x"}),
            json!({"gravity": "fp"}),
            json!({"width": -1}),
            json!({"width": "1,role:x"}),
            json!({"quality": 101}),
            json!({"quality": 5}),
            json!([1]),
        ] {
            assert!(fields(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn tokens_of_others_are_read_leniently() {
        let of = |list, format| Wish::of_token(list, format, SIDES);
        assert_eq!(of("", None), Wish::default());
        let odd =
            "width:100,height,quality:7,resize:undefined,gravity:no:NaN:Infinity,evil:1,width:-5";
        assert_eq!(of(odd, Some("exe")).told(), "gravity:no");
        assert_eq!(of("width:99999,resize:fill", None).told(), "width:2000,resizing_type:force");
        assert_eq!(of("width:9", Some("origin")).options(true).format, Wanted::Origin);
        assert_eq!(of("format:webp", Some("origin")).format(), Some("webp"));
        assert_eq!(of("gravity:fp:7:7,width:3", None), Wish::default());
    }
}
