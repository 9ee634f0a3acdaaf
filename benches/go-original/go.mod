module go-original

go 1.19
