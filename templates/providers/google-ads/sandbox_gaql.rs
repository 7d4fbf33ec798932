//! A strict reader of the Google Ads query language for the sandbox, as far as the tools use it.

/// Code and message of a `queryError`.
pub(super) type QueryError = (&'static str, String);

/// What can be asked for.
const FIELDS: [&str; 12] = [
    "customer.id",
    "customer.descriptive_name",
    "customer.currency_code",
    "campaign.id",
    "campaign.name",
    "campaign.status",
    "campaign.advertising_channel_type",
    "segments.date",
    "metrics.impressions",
    "metrics.clicks",
    "metrics.cost_micros",
    "metrics.conversions",
];

pub(super) struct Query {
    pub(super) fields: Vec<String>,
    pub(super) resource: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) order: Vec<(String, bool)>,
    pub(super) limit: usize,
}

pub(super) enum Condition {
    Status(Vec<String>),
    Campaign(u64),
    After(u64),
    Days(String, String),
}

fn unexpected(token: &str) -> QueryError {
    ("UNEXPECTED_INPUT", format!("Error in query: unexpected input {token}."))
}

/// Words, signs and quoted texts, in order.
fn tokens(query: &str) -> Vec<String> {
    let spaced = query.replace(',', " , ").replace('(', " ( ").replace(')', " ) ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

struct Reader(std::iter::Peekable<std::vec::IntoIter<String>>);

impl Reader {
    fn next(&mut self) -> Result<String, QueryError> {
        self.0.next().ok_or_else(|| ("UNEXPECTED_END_OF_QUERY", "Error in query: unexpected end of query.".to_owned()))
    }

    fn takes(&mut self, word: &str) -> bool {
        self.0.next_if(|token| token == word).is_some()
    }

    fn wants(&mut self, word: &str) -> Result<(), QueryError> {
        let token = self.next()?;
        if token == word { Ok(()) } else { Err(unexpected(&token)) }
    }

    fn field(&mut self) -> Result<String, QueryError> {
        let token = self.next()?;
        if FIELDS.contains(&token.as_str()) {
            Ok(token)
        } else {
            Err(("UNRECOGNIZED_FIELD", format!("Unrecognized field in the query: '{token}'.")))
        }
    }

    fn number(&mut self) -> Result<u64, QueryError> {
        let token = self.next()?;
        token.parse().map_err(|_| ("BAD_NUMBER", format!("Invalid number in the query: {token}.")))
    }

    fn text(&mut self) -> Result<String, QueryError> {
        let token = self.next()?;
        let inner = token.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        inner.filter(|text| !text.contains('\'')).map(str::to_owned).ok_or_else(|| unexpected(&token))
    }
}

/// Reads a query, every word of it.
pub(super) fn parse(query: &str) -> Result<Query, QueryError> {
    let mut reader = Reader(tokens(query).into_iter().peekable());
    reader.wants("SELECT")?;
    let mut fields = vec![reader.field()?];
    while reader.takes(",") {
        fields.push(reader.field()?);
    }
    reader.wants("FROM")?;
    let resource = reader.next()?;
    let (mut conditions, mut order, mut limit) = (Vec::new(), Vec::new(), usize::MAX);
    if reader.takes("WHERE") {
        conditions.push(condition(&mut reader)?);
        while reader.takes("AND") {
            conditions.push(condition(&mut reader)?);
        }
    }
    if reader.takes("ORDER") {
        reader.wants("BY")?;
        loop {
            let field = reader.field()?;
            let descending = reader.takes("DESC");
            order.push((field, descending));
            if !reader.takes(",") {
                break;
            }
        }
    }
    if reader.takes("LIMIT") {
        limit = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
    }
    match reader.0.next() {
        Some(token) => Err(unexpected(&token)),
        None => Ok(Query { fields, resource, conditions, order, limit }),
    }
}

fn condition(reader: &mut Reader) -> Result<Condition, QueryError> {
    let (field, operator) = (reader.field()?, reader.next()?);
    match (field.as_str(), operator.as_str()) {
        ("campaign.status", "IN") => {
            reader.wants("(")?;
            let mut values = vec![reader.text()?];
            while reader.takes(",") {
                values.push(reader.text()?);
            }
            reader.wants(")")?;
            match values.iter().find(|value| !matches!(value.as_str(), "ENABLED" | "PAUSED" | "REMOVED")) {
                Some(value) => Err(("BAD_ENUM_CONSTANT", format!("Invalid enum value cannot be included: '{value}'."))),
                None => Ok(Condition::Status(values)),
            }
        }
        ("campaign.id", "=") => Ok(Condition::Campaign(reader.number()?)),
        ("campaign.id", ">") => Ok(Condition::After(reader.number()?)),
        ("segments.date", "DURING") => {
            let (first, last) = match reader.next()?.as_str() {
                "TODAY" => ("2026-11-22", "2026-11-22"),
                "YESTERDAY" => ("2026-11-21", "2026-11-21"),
                "LAST_7_DAYS" => ("2026-11-15", "2026-11-21"),
                "LAST_14_DAYS" => ("2026-11-08", "2026-11-21"),
                "LAST_30_DAYS" => ("2026-10-23", "2026-11-21"),
                "THIS_MONTH" => ("2026-11-01", "2026-11-30"),
                "LAST_MONTH" => ("2026-10-01", "2026-10-31"),
                other => return Err(("INVALID_VALUE_WITH_DURING_OPERATOR", format!("Invalid date literal: {other}."))),
            };
            Ok(Condition::Days(first.to_owned(), last.to_owned()))
        }
        ("segments.date", "BETWEEN") => {
            let first = reader.text()?;
            reader.wants("AND")?;
            let last = reader.text()?;
            if first > last {
                return Err(("INVALID_VALUE_WITH_BETWEEN_OPERATOR", "Invalid value for the operator.".to_owned()));
            }
            Ok(Condition::Days(first, last))
        }
        _ => Err(("BAD_OPERATOR", format!("Operator '{operator}' cannot be used with '{field}'."))),
    }
}
