"""What several tests share: leak checks, real processes, fio, and which programs are needed."""
