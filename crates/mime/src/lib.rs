//! Message headers, trace fields and delivery status notifications as bytes.
