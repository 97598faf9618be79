"""What people look at: a Streamlit app that follows the log, and the pure helpers that the terminal shares with it."""
