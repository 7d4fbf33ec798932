//! The tools. Each is a plain async function: arguments in, a struct out. What the model reads of them are the
//! descriptions here and the doc comments of the fields, so write both for it.

use kit::prelude::*;

pub(super) fn tools() -> Tools {
    Tools::new()
        .read(
            "channels",
            "Channels of the Slack workspace, with their ids, topics and numbers of members. Archived ones are left out.",
            channels,
        )
        .write(
            "post_message",
            "Posts a message to a channel, where all its members see it, by the id that `{channels}` gave. When it is \
             not known whether a message arrived, look before posting it again.",
            post_message,
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Channels {
    /// Also private channels that the bot was invited to.
    #[serde(default)]
    include_private: bool,
    /// How many channels at most. A page may hold fewer though there are more.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 200))]
    limit: u32,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<String>,
}

fn default_limit() -> u32 {
    100
}

#[derive(Debug, Serialize, JsonSchema)]
struct ChannelList {
    channels: Vec<Channel>,
    /// Give this as `cursor` to get more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Channel {
    id: String,
    /// Without `#`.
    name: String,
    private: bool,
    /// Whether the bot is in it, so that it can post there.
    joined: bool,
    /// What it says of itself at the top; may be empty.
    topic: String,
    members: u64,
}

async fn channels(call: Call, args: Channels) -> Result<ChannelList, ToolError> {
    let types = if args.include_private { "public_channel,private_channel" } else { "public_channel" };
    let found: Conversations = call
        .upstream()
        .get("/conversations.list")
        .query("types", types)
        .query("exclude_archived", true)
        .query("limit", args.limit)
        .query_opt("cursor", args.cursor)
        .json()
        .await?;
    // Slack ends with an empty text.
    let next_cursor = found.response_metadata.map(|metadata| metadata.next_cursor).filter(|cursor| !cursor.is_empty());
    Ok(ChannelList { channels: found.channels.into_iter().map(Conversation::into_channel).collect(), next_cursor })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PostMessage {
    /// Id of the channel.
    #[schemars(length(min = 1, max = 64))]
    channel: String,
    /// The message, in Slack's own markup: `*bold*`, `_italic_`, `<https://example.com|a link>`.
    #[schemars(length(min = 1, max = 4000))]
    text: String,
    /// `timestamp` of a message, to answer in its thread.
    #[schemars(length(min = 1, max = 64))]
    thread: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Posted {
    /// Id of the channel.
    channel: String,
    /// What names the message in its channel; give it as `thread` to answer it.
    timestamp: String,
}

async fn post_message(call: Call, args: PostMessage) -> Result<Posted, ToolError> {
    let mut body = json!({"channel": args.channel, "text": args.text});
    if let Some(thread) = args.thread {
        body["thread_ts"] = thread.into();
    }
    // Not `.safe()`: what is sent twice is read twice.
    let sent: Sent = call.upstream().post("/chat.postMessage").body(&body).json().await?;
    Ok(Posted { channel: sent.channel, timestamp: sent.ts })
}

// What Slack answers, as far as the tools read it.

#[derive(Deserialize)]
struct Conversations {
    channels: Vec<Conversation>,
    response_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    next_cursor: String,
}

#[derive(Deserialize)]
struct Conversation {
    id: String,
    name: String,
    #[serde(default)]
    is_private: bool,
    #[serde(default)]
    is_member: bool,
    #[serde(default)]
    topic: Topic,
    #[serde(default)]
    num_members: u64,
}

#[derive(Default, Deserialize)]
struct Topic {
    value: String,
}

impl Conversation {
    fn into_channel(self) -> Channel {
        let Self { id, name, is_private: private, is_member: joined, topic, num_members: members } = self;
        Channel { id, name, private, joined, topic: topic.value, members }
    }
}

#[derive(Deserialize)]
struct Sent {
    channel: String,
    ts: String,
}
