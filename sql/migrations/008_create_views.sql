\ir ../functions/channel/user_channels.sql
\ir ../functions/channel/trending_channels.sql
