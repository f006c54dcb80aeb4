//! Last steps as JSON, and back.

use super::{Fields, Reading, element_or, write};
use crate::{
    graph::{Element, NonMaxSuppression, Setting},
    json::Value,
};

impl Reading<'_> {
    pub(super) fn suppression(&mut self, json: &Value<'_>) -> Result<(), String> {
        let mut fields = Fields::new(json, "a suppression")?;
        let name = fields.text("name")?.to_string();
        fields.what = format!("suppression `{name}`");
        let last = NonMaxSuppression {
            element: element_or(&mut fields, Element::I64)?,
            boxes: self.output(fields.value("boxes")?, &format!("{}: `boxes`", fields.what))?,
            scores: self.output(fields.value("scores")?, &format!("{}: `scores`", fields.what))?,
            is_centered: fields.whole_or("is_centered", 0)? != 0,
            most: self.setting(&mut fields, "most")?,
            iou: self.setting(&mut fields, "iou")?,
            score: fields.has("score").then(|| self.setting(&mut fields, "score")).transpose()?,
            name,
        };
        fields.finish()?;
        self.graph.add_suppression(last).map_err(|error| error.to_string())
    }

    fn setting(&self, fields: &mut Fields<'_>, key: &'static str) -> Result<Setting, String> {
        match fields.value(key)? {
            json @ Value::Object(_) => self.output(json, &format!("{}: `{key}`", fields.what)).map(Setting::Output),
            _ => fields.number(key).map(Setting::Constant),
        }
    }
}

pub(super) fn json(last: &NonMaxSuppression) -> Value<'static> {
    let setting = |setting: &Setting| match setting {
        Setting::Constant(value) => write::number(*value),
        Setting::Output(output) => write::output(output),
    };
    let mut fields = vec![write::field("name", write::text(&last.name))];
    if last.element != Element::I64 {
        fields.push(write::field("type", write::text(last.element.name())));
    }
    fields.extend([("boxes", &last.boxes), ("scores", &last.scores)].map(|(key, output)| write::field(key, write::output(output))));
    if last.is_centered {
        fields.push(write::field("is_centered", write::whole(1)));
    }
    let settings = [("most", Some(&last.most)), ("iou", Some(&last.iou)), ("score", last.score.as_ref())];
    fields.extend(settings.into_iter().filter_map(|(key, value)| Some(write::field(key, setting(value?)))));
    Value::Object(fields)
}
